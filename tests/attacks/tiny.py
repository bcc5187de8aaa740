"""A victim in miniature: a random network and a linear head, its pictures 16 pixels wide."""

import torch
from torch import nn

from stages.attacks.classifier import Classifier, Probe
from stages.attacks.victim import Victim
from stages.backbones.base import Backbone
from stages.engines.eager import Engine
from stages.heads.calibration import Calibration
from stages.heads.registry import HEADS
from stages.images.preprocessing import Preprocessing

SIDE, DIMENSIONS, CLASSES = 16, 6, ["Bengal", "Siamese", "beagle", "pug"]


def victim(head: str = "linear", tensors: dict[str, torch.Tensor] | None = None) -> Victim:
    """The network is the same each time; the head's ``tensors`` are linear and random if not given."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        features = nn.Sequential(
            nn.Conv2d(3, DIMENSIONS, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        ).requires_grad_(False)
        random = {"weight": torch.randn(DIMENSIONS, len(CLASSES)), "bias": torch.zeros(len(CLASSES))}
    probe = Probe(HEADS[head], tensors or random, Calibration(1.0, 0.0, [0.0] * len(CLASSES)))
    preprocessing = Preprocessing(SIDE, SIDE, SIDE, "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    engine = Engine(Backbone("tiny", features, None, "", preprocessing, "", ""), "cpu", "float32")
    classifier = Classifier(features, preprocessing, 1, probe.smooth())
    return Victim(classifier, engine, 1, "float32", probe, CLASSES)


def pictures(count: int, seed: int = 0) -> list[torch.Tensor]:
    """On the levels of 8 bits."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(256, (3, SIDE, SIDE), generator=generator) / 255 for _ in range(count)]
