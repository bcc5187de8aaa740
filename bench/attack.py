"""PGD with 40 steps against torchattacks' and foolbox' own, on the same network, pictures, epsilon and steps.

The network is EfficientNet-Lite0 with its own classifier, from a picture's pixels on: resize, crop and
normalize are part of it. Ours is timed twice: as it is used, where a picture that is fooled is done, and
with all 40 steps for every picture. torchattacks pins old versions of packages that are needed here, so it
is no dependency: `pip install --no-deps torchattacks`.
"""

import importlib.util
import math
from collections.abc import Callable
from pathlib import Path

import foolbox
import numpy as np
import torch
from torch import nn

from bench.table import row, seconds
from stages.attacks.objective import Misread
from stages.attacks.pgd import pgd
from stages.backbones.base import Backbone
from stages.backbones.build import build
from stages.engines.gradients import differentiable
from stages.images.differentiable import network_inputs
from stages.images.preprocessing import to_tensor
from stages.sources.drawing import BREEDS, draw

IMAGES, SIZE, STEPS = 4, 256, 40
EPSILON, STEP = 4 / 255, 1 / 255


class Plain(nn.Module):
    """The whole way as one would write it for these libraries."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        assert backbone.classifier is not None
        self.preprocessing = backbone.preprocessing
        self.layers = nn.Sequential(backbone.features, backbone.classifier)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        (images,) = network_inputs(self.preprocessing, pictures, 1)
        logits: torch.Tensor = self.layers(images)
        return logits


def main() -> None:
    generator = np.random.default_rng(0)
    drawn = [to_tensor(np.asarray(draw(breed, generator, SIZE))) for breed in BREEDS[:IMAGES]]
    pictures = torch.stack([picture[:, :SIZE, :SIZE] for picture in drawn]).float() / 255
    plain = Plain(build("efficientnet_lite0", Path("weights"))).eval()
    with torch.inference_mode():
        labels = plain(pictures).argmax(1)  # what the network says of drawings is what is to be changed
    labels = labels.clone()
    backbone = build("efficientnet_lite0", Path("weights"))
    classifier = backbone.classifier
    assert classifier is not None
    fast = differentiable(backbone, "cpu", "bfloat16")

    def log_probabilities(images: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        (inputs,) = network_inputs(backbone.preprocessing, images, 1)
        return classifier(fast(inputs)).log_softmax(1)

    objective = Misread(log_probabilities, labels, targeted=False)
    results: dict[str, torch.Tensor] = {}

    def ours(sure: float) -> Callable[[], None]:
        def run() -> None:
            found = pgd(objective, pictures, norm="linf", epsilon=EPSILON, step=STEP, steps=STEPS, sure=sure)
            results["ours" if math.isfinite(sure) else "ours, all steps"] = found.images

        return run

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
    ours(0.0)()  # a warm-up
    for name, instead in others.items():
        stopping, whole, theirs = seconds(ours(1.0)), seconds(ours(math.inf)), seconds(instead)
        row(f"PGD-{STEPS}, {IMAGES} images; {name}", stopping, theirs)
        row(f"PGD-{STEPS}, {IMAGES} images, all steps; {name}", whole, theirs)
        rates = ", ".join(f"{IMAGES / each:.2f}" for each in (stopping, whole, theirs))
        print(f"  images per second, ours, ours with all steps, {name}: {rates}")
    for name, images in results.items():
        with torch.inference_mode():
            fooled = (plain(images).argmax(1) != labels).float().mean()
        farthest = 255 * float((images - pictures).abs().max())
        print(f"  {name}: {float(fooled):.0%} fooled in float32, pixels moved by {farthest:.2f}/255 at most")
