"""What is attacked: the whole way from a picture's pixels to the head's probabilities, differentiable."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from stages.heads.base import Head
from stages.heads.calibration import Calibration
from stages.images.differentiable import network_inputs
from stages.images.preprocessing import Preprocessing


@dataclass(frozen=True)
class Probe:
    """A fitted head: its kind, tensors and calibration."""

    head: type[Head]
    tensors: dict[str, torch.Tensor]
    calibration: Calibration

    def log_probabilities(self, features: torch.Tensor) -> torch.Tensor:
        """Calibrated log-probabilities [n, classes] of features [n, dimensions]."""
        return self.calibration.log_probabilities(self.head.logits(self.tensors, features))

    @property
    def has_stand_in(self) -> bool:
        """Whether its gradients are those of another classifier."""
        return self.head.smooth is not Head.smooth

    def smooth(self) -> "Probe":
        """The same with a slope everywhere, for gradients (see `Head.smooth`)."""
        return Probe(self.head, self.head.smooth(self.tensors), self.calibration)


@dataclass(frozen=True)
class Classifier:
    """Pictures in [0, 1] to log-probabilities: embed's preprocessing and views, the backbone, the head."""

    features: Callable[[torch.Tensor], torch.Tensor]
    preprocessing: Preprocessing
    views: int
    probe: Probe

    def log_probabilities(self, pictures: torch.Tensor | Sequence[torch.Tensor]) -> torch.Tensor:
        """Log-probabilities [n, classes] of n float pictures [3, height, width] of any sizes."""
        return self.probe.log_probabilities(self.mean_features(pictures))

    def mean_features(self, pictures: torch.Tensor | Sequence[torch.Tensor]) -> torch.Tensor:
        """The features [n, dimensions] of the same pictures, the mean of their views'."""
        views = network_inputs(self.preprocessing, pictures, self.views)
        return torch.stack([self.features(view) for view in views]).mean(0)


def grouped(log_probabilities: torch.Tensor, groups: torch.Tensor) -> torch.Tensor:
    """Log-probabilities [n, groups] of groups of classes: a species has the sum of its breeds.

    ``groups`` int64 [classes]: each class's group, in 0..g-1.
    """
    members = torch.nn.functional.one_hot(groups).bool().T  # [groups, classes]
    each = log_probabilities.unsqueeze(1).masked_fill(~members, -torch.inf)
    return each.logsumexp(2)
