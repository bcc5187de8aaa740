"""Lightweight classifiers on cached features: one module a head, named as params.yaml names it.

To add a head, add a module here that has what `Head` lists. Nothing else needs to know of it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol, cast

import torch
from torch.nn import functional

from pets.core.params import Section


@dataclass(frozen=True)
class Examples:
    """``features`` float32 [n, dimensions] and ``labels`` int64 [n] in 0..classes-1, on one device."""

    features: torch.Tensor
    labels: torch.Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def __add__(self, other: "Examples") -> "Examples":
        features = torch.cat([self.features, other.features])
        return Examples(features, torch.cat([self.labels, other.labels]))


@dataclass(frozen=True)
class Trial:
    """One setting that was tried, and the head's tensors, fitted with it on the training images."""

    setting: dict[str, Any]
    tensors: dict[str, torch.Tensor]


class Head(Protocol):
    """What a head's module has.

    A head is fitted with several settings of its hyperparameters, the one with the best validation score is
    chosen, and the head is fitted again on training and validation images together. A fitted head is nothing
    but named tensors, so that it saves as safetensors and loads without its training code.

    A head whose logits are flat somewhere has one function more, ``surrogate(tensors) -> tensors``: the
    tensors of a classifier whose logits have a useful gradient everywhere, for attacks and activation
    maximization.
    """

    Settings: type[Section]  # the section train.<head> of params.yaml

    def trials(
        self, train: Examples, validation: Examples, classes: int, settings: Any, seed: int
    ) -> Iterator[Trial]:
        """Fit on ``train`` with each setting to be tried; ``validation`` is for a head that stops early."""

    def fit(
        self, examples: Examples, classes: int, setting: dict[str, Any], seed: int
    ) -> dict[str, torch.Tensor]:
        """The head's tensors, fitted with the chosen setting."""

    def logits(self, tensors: dict[str, torch.Tensor], features: torch.Tensor) -> torch.Tensor:
        """Unnormalized log-probabilities [n, classes] of features [n, dimensions]; differentiable."""


def load(name: str) -> Head:
    """The head of that name. ModuleNotFoundError for an unknown one; params.yaml is checked before."""
    return cast(Head, import_module(f"pets.heads.{name}"))


def unit(features: torch.Tensor) -> torch.Tensor:
    """Each feature vector scaled to length one."""
    return functional.normalize(features, dim=1)
