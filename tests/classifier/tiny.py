"""A tiny classifier: a random network and a linear head, for pictures 16 pixels wide."""

import torch
from torch import nn

from pets.backbones.base import Backbone
from pets.classifier.calibration import Calibration
from pets.classifier.classifier import Classifier, Extractor
from pets.classifier.fitted_head import FittedHead
from pets.engines.pytorch import Engine
from pets.images.preprocessing import Preprocessing

SIDE, DIMENSIONS, CLASSES = 16, 6, ["Bengal", "Siamese", "beagle", "pug"]


def tiny_classifier(head: str = "linear", tensors: dict[str, torch.Tensor] | None = None) -> Classifier:
    """The network is the same each time; the head's ``tensors`` are linear and random if not given."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        features = nn.Sequential(
            nn.Conv2d(3, DIMENSIONS, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        ).requires_grad_(False)
        random = {"weight": torch.randn(DIMENSIONS, len(CLASSES)), "bias": torch.zeros(len(CLASSES))}
    fitted = FittedHead(head, tensors or random, Calibration(1.0, 0.0, [0.0] * len(CLASSES)), CLASSES)
    preprocessing = Preprocessing(SIDE, SIDE, SIDE, "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    engine = Engine(Backbone("tiny", features, "", preprocessing, "", ""), "cpu", "float32")
    return Classifier(fitted, [Extractor(features, engine, 1, "float32")])


def pictures(count: int, seed: int = 0) -> list[torch.Tensor]:
    """Random pictures on the 256 levels of 8 bits."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(256, (3, SIDE, SIDE), generator=generator) / 255 for _ in range(count)]
