"""Nearest neighbours by cosine; a neighbour's vote weighs exp(cosine / 0.07).

Wu, Xiong, Yu, Lin: Unsupervised feature learning via non-parametric instance discrimination, CVPR 2018.
"""

from collections.abc import Iterator
from typing import Any

import torch
from pydantic import Field, PositiveInt
from torch.nn import functional

from pets.core.params import Section
from pets.heads import Examples, Trial, unit

TEMPERATURE = 0.07
FLOOR = 1e-6  # the share of votes given to a class without any, so that its log-probability is finite
CHUNK = 4096  # images compared at a time


class Settings(Section):
    """The section ``train.knn`` of params.yaml."""

    neighbours: list[PositiveInt] = Field(min_length=1)


def trials(
    train: Examples, validation: Examples, classes: int, settings: Settings, seed: int
) -> Iterator[Trial]:
    """One trial for each number of neighbours; numbers above that of the training images are left out."""
    for neighbours in settings.neighbours:
        if neighbours <= len(train):
            setting = {"neighbours": neighbours}
            yield Trial(setting, fit(train, classes, setting, seed))


def fit(examples: Examples, classes: int, setting: dict[str, Any], seed: int) -> dict[str, torch.Tensor]:
    """The images' features, of unit length in float16, and their labels, one-hot [n, classes].

    Of fewer images than neighbours all are neighbours.
    """
    return {
        "features": unit(examples.features).half(),
        "votes": functional.one_hot(examples.labels, classes).float(),
        "neighbours": torch.tensor(min(setting["neighbours"], len(examples))),
    }


def logits(tensors: dict[str, torch.Tensor], features: torch.Tensor) -> torch.Tensor:
    """Logarithm of each class's share of the votes."""
    known, votes, neighbours = tensors["features"].float(), tensors["votes"], int(tensors["neighbours"])
    shares = []
    for chunk in unit(features).split(CHUNK):
        cosine, nearest = (chunk @ known.T).topk(neighbours)
        weight = functional.softmax(cosine / TEMPERATURE, dim=1)  # [n, neighbours]
        shares.append((weight.unsqueeze(2) * votes[nearest]).sum(1))
    return torch.cat(shares).clamp_min(FLOOR).log()


def surrogate(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """With every image a neighbour, so that a class has a gradient before its first image is near.

    As Sitawarin and Wagner attack such classifiers (On the robustness of deep k-nearest neighbors, 2019).
    """
    return tensors | {"neighbours": torch.tensor(len(tensors["features"]))}
