"""The one interface of all heads, and what they share."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch.nn import functional

from stages.params import Section


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
    """One setting that was tried, and its logits on the validation images [n, classes]."""

    setting: dict[str, Any]
    logits: torch.Tensor


class Head(ABC):
    """A lightweight classifier on frozen features.

    It is fitted with several settings of its hyperparameter, the one with the best validation score is kept,
    and then it may be refitted on train and validation together. It is nothing but named tensors, so that it
    saves as safetensors and loads without its training code.
    """

    Settings: ClassVar[type[Section]]  # the section train.<head> of params.yaml

    @staticmethod
    @abstractmethod
    def trials(
        train: Examples, validation: Examples, classes: int, settings: Any, seed: int
    ) -> Iterator[Trial]:
        """Fit on ``train`` with every setting to be tried and give the logits on ``validation``."""

    @staticmethod
    @abstractmethod
    def fit(examples: Examples, classes: int, setting: dict[str, Any], seed: int) -> dict[str, torch.Tensor]:
        """The head's tensors, fitted with the chosen setting."""

    @staticmethod
    @abstractmethod
    def logits(tensors: dict[str, torch.Tensor], features: torch.Tensor) -> torch.Tensor:
        """Unnormalized log-probabilities [n, classes] for features [n, dimensions]; differentiable."""

    @staticmethod
    def smooth(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The tensors of a stand-in whose logits have a slope everywhere, for whoever needs a gradient.

        The head itself, unless its logits are flat somewhere.
        """
        return tensors


def unit(features: torch.Tensor) -> torch.Tensor:
    """Each feature vector scaled to length one."""
    return functional.normalize(features, dim=1)
