"""Pretrained networks as feature extractors.

A name is one of torchvision's classification networks (``resnet50``), with other weights than its default
ones (``resnet50-IMAGENET1K_V1``) or another layer's features (``vgg16-4096``), an EfficientNet-Lite
(``efficientnet_lite0``), or a network of timm (``timm/resnet50.a1_in1k``); `pets.core.names` lists them.
Several joined by + are one backbone for the heads; each is built for itself. ``<backbone>-finetuned`` is one
with the weights that `finetune` trained on a data set.
"""

from pets.core.names import LITE, frozen_twin


def module_of(name: str) -> str:
    """The module that builds the backbone of that name; it is imported by name, the others are not."""
    if frozen_twin(name):
        return "pets.backbones.finetuned"
    if name.startswith("timm/"):
        return "pets.backbones.timm_hub"
    return "pets.backbones." + ("efficientnet_lite" if name in LITE else "torchvision")
