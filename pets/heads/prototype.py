"""Nearest class mean: an image belongs to the class whose mean feature has the largest cosine with its own.

Mensink, Verbeek, Perronnin, Csurka: Distance-based image classification, TPAMI 2013; the prototypes of
Snell, Swersky, Zemel: Prototypical networks, NeurIPS 2017.
"""

from collections.abc import Iterator
from typing import Any

import torch
from pydantic import Field
from torch.nn import functional

from pets.core.params import Section
from pets.heads import Examples, Trial, unit


class Settings(Section):
    """The section ``train.prototype`` of params.yaml."""

    centred: list[bool] = Field(min_length=1)


def trials(
    train: Examples, validation: Examples, classes: int, settings: Settings, seed: int
) -> Iterator[Trial]:
    """One trial with centred features, one without, as the settings say."""
    for centred in settings.centred:
        setting = {"centred": centred}
        yield Trial(setting, fit(train, classes, setting, seed))


def fit(examples: Examples, classes: int, setting: dict[str, Any], seed: int) -> dict[str, torch.Tensor]:
    """Tensors ``centre`` [dimensions] and ``prototypes`` [classes, dimensions], of unit length."""
    features = unit(examples.features)
    centre = features.mean(0) if setting["centred"] else torch.zeros_like(features[0])
    members = functional.one_hot(examples.labels, classes).to(features.dtype)
    return {"centre": centre, "prototypes": unit(members.T @ unit(features - centre))}


def logits(tensors: dict[str, torch.Tensor], features: torch.Tensor) -> torch.Tensor:
    """Cosines, at most 1: the temperature found on validation makes probabilities of them."""
    return unit(unit(features) - tensors["centre"]) @ tensors["prototypes"].T
