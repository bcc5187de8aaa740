"""PGD with 40 steps against torchattacks' and foolbox' own, on the same network, pictures, epsilon and steps.

The network is EfficientNet-Lite0 with its own classifier, including resize, crop and normalization of the
picture. Ours is timed twice: as it is used, where a picture is done once it fools, and with all 40 steps for
every picture. torchattacks pins old versions of packages that are needed here, so it is no dependency:
`pip install --no-deps torchattacks`.
"""

import importlib.util
import math
from functools import partial
from pathlib import Path

import foolbox
import numpy as np
import torch
from torch import nn

from bench.table import row, seconds
from pets.attacks.objective import Misclassify
from pets.attacks.pgd import pgd
from pets.backbones.base import Backbone
from pets.backbones.build import build
from pets.engines.gradients import differentiable
from pets.images.differentiable import network_inputs
from pets.images.preprocessing import to_tensor
from pets.sources.synthetic_pets import BREEDS, draw

IMAGES, SIZE, STEPS = 4, 256, 40
EPSILON, STEP = 4 / 255, 1 / 255


class Plain(nn.Module):
    """The network from the pixels on, as one would write it for these libraries."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.preprocessing = backbone.preprocessing
        self.layers = backbone.as_classifier().features

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        (images,) = network_inputs(self.preprocessing, pictures, 1)
        logits: torch.Tensor = self.layers(images)
        return logits


def main() -> None:
    generator = np.random.default_rng(0)
    synthetic = [to_tensor(np.asarray(draw(breed, generator, SIZE))) for breed in BREEDS[:IMAGES]]
    pictures = torch.stack([picture[:, :SIZE, :SIZE] for picture in synthetic]).float() / 255
    plain = Plain(build("efficientnet_lite0", Path("weights"))).eval()
    with torch.inference_mode():
        labels = plain(pictures).argmax(1)  # the predictions that the attack is to change
    labels = labels.clone()
    backbone = build("efficientnet_lite0", Path("weights"))
    fast = differentiable(backbone.as_classifier(), "cpu", "bfloat16")

    def log_probabilities(images: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        (inputs,) = network_inputs(backbone.preprocessing, images, 1)
        return fast(inputs).log_softmax(1)

    objective = Misclassify(log_probabilities, labels, targeted=False)
    results: dict[str, torch.Tensor] = {}

    def ours(name: str, confidence: float) -> None:
        found = pgd(
            objective, pictures, norm="linf", epsilon=EPSILON, step=STEP, steps=STEPS, confidence=confidence
        )
        results[name] = found.images

    def with_foolbox() -> None:
        model = foolbox.PyTorchModel(plain, bounds=(0, 1), device="cpu")
        attack = foolbox.attacks.LinfProjectedGradientDescentAttack(
            abs_stepsize=STEP, steps=STEPS, random_start=False
        )
        results["foolbox"] = attack(model, pictures, labels, epsilons=EPSILON)[1]

    def with_torchattacks() -> None:
        import torchattacks

        attack = torchattacks.PGD(plain, eps=EPSILON, alpha=STEP, steps=STEPS, random_start=False)
        results["torchattacks"] = attack(pictures, labels)

    others = {"foolbox": with_foolbox}
    if importlib.util.find_spec("torchattacks"):
        others["torchattacks"] = with_torchattacks
    else:
        print("  torchattacks is left out: pip install --no-deps torchattacks")
    ours("ours", 0.0)  # a warm-up
    for name, instead in others.items():
        stopping = seconds(partial(ours, "ours", 1.0))
        all_steps = seconds(partial(ours, "ours, all steps", math.inf))
        theirs = seconds(instead)
        row(f"PGD-{STEPS}, {IMAGES} images; {name}", stopping, theirs)
        row(f"PGD-{STEPS}, {IMAGES} images, all steps; {name}", all_steps, theirs)
        rates = ", ".join(f"{IMAGES / each:.2f}" for each in (stopping, all_steps, theirs))
        print(f"  images per second, ours, ours with all steps, {name}: {rates}")
    for name, images in results.items():
        with torch.inference_mode():
            fooled = (plain(images).argmax(1) != labels).float().mean()
        largest = 255 * float((images - pictures).abs().max())
        print(f"  {name}: {float(fooled):.0%} fooled in float32, pixels changed by at most {largest:.2f}/255")
