"""Pretrained networks as feature extractors.

A name is one of torchvision's classification networks (``resnet50``), an EfficientNet-Lite
(``efficientnet_lite0``), or a VGG with another layer's features (``vgg16-4096``); `pets.core.names` lists
them.
"""

from pets.core.names import LITE


def module_of(name: str) -> str:
    """The module that builds the backbone of that name; it is imported by name, the others are not."""
    return "pets.backbones." + ("efficientnet_lite" if name in LITE else "torchvision")
