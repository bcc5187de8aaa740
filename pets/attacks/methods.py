"""The attacks of the gallery: each with its name, its constraint, its search, and its way to 8 bits."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from pets.attacks.deepfool import deepfool
from pets.attacks.fmn import fmn
from pets.attacks.objective import CONFIDENCE_SAVED, CONFIDENCE_UNSAVED, Objective, Smoothed
from pets.attacks.pgd import Norm, pgd, step_within
from pets.attacks.quantization import lengthen_and_quantize, quantize, quantize_l2
from pets.attacks.search import SearchResult
from pets.attacks.settings import Settings, in_levels

CONFIDENCE = float(np.log(9))  # nats: an image is done when its target is nine times as probable as any other
MINIMUM_NORM = "minimum L2, then longer until it survives 8 bits"
DESCENT = 0.25  # the length, in L2, of plain gradient descent's steps

Search = Callable[[Objective, torch.Tensor, Sequence[tuple[int, int]]], SearchResult]


@dataclass(frozen=True)
class Method:
    """``search`` gets the originals and their sizes on the canvas, ``quantize`` what it found."""

    name: str
    constraint: str
    search: Search
    quantize: Callable[[Objective, torch.Tensor, SearchResult], torch.Tensor]


def methods(settings: Settings) -> list[Method]:
    """Every attack of the gallery; the first is the one that is shown for every picture."""
    epsilon, epsilon_l2, steps = settings.epsilon, settings.epsilon_l2, settings.steps

    def minimum_norm(attack: Callable[[Objective, torch.Tensor, int, float], SearchResult]) -> Search:
        return lambda objective, originals, sizes: attack(
            objective, originals, settings.minimum_norm_steps, CONFIDENCE_UNSAVED
        )

    def within(objective: Objective, originals: torch.Tensor, found: SearchResult) -> torch.Tensor:
        return quantize(found.images, originals, epsilon)

    def within_l2(objective: Objective, originals: torch.Tensor, found: SearchResult) -> torch.Tensor:
        return quantize_l2(found.images, originals, epsilon_l2)

    def nearest(objective: Objective, originals: torch.Tensor, found: SearchResult) -> torch.Tensor:
        return quantize(found.images, originals)

    def surviving(objective: Objective, originals: torch.Tensor, found: SearchResult) -> torch.Tensor:
        return lengthen_and_quantize(objective, originals, found, CONFIDENCE_SAVED)

    linf, l2 = f"L-infinity at most {in_levels(epsilon)}", f"L2 at most {epsilon_l2:g}"
    smooth = _descent("l2", float("inf"), DESCENT, steps, settings.total_variation)
    return [
        Method("PGD", linf, _descent("linf", epsilon, step_within(epsilon), steps), within),
        Method(
            "FGSM",
            f"L-infinity {in_levels(epsilon)}, one step",
            _descent("linf", epsilon, epsilon, 1),
            within,
        ),
        Method("L2-PGD", l2, _descent("l2", epsilon_l2, epsilon_l2 / 4, steps), within_l2),
        Method("Gradient descent with total variation", "no bound", smooth, nearest),
        Method("DeepFool", MINIMUM_NORM, minimum_norm(deepfool), surviving),
        Method("FMN", MINIMUM_NORM, minimum_norm(fmn), surviving),
    ]


def _descent(norm: Norm, epsilon: float, step: float, steps: int, variation: float = 0.0) -> Search:
    """PGD, with ``variation`` as the weight of total variation."""

    def search(
        objective: Objective, originals: torch.Tensor, sizes: Sequence[tuple[int, int]]
    ) -> SearchResult:
        smoothed = Smoothed(objective, sizes, variation) if variation else objective
        return pgd(
            smoothed, originals, norm=norm, epsilon=epsilon, step=step, steps=steps, confidence=CONFIDENCE
        )

    return search
