"""Calibration: from a head's logits to calibrated probabilities, by two numbers fitted on validation.

The temperature corrects the confidence (Guo, Pleiss, Sun, Weinberger: On calibration of modern neural
networks, ICML 2017). The strength of the prior corrects a regularized head's bias towards classes with many
training images (Menon et al.: Long-tail learning via logit adjustment, ICLR 2021): 0 corrects nothing, 1 all
of it; with equally many images in each class it has no effect.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.optimize import minimize
from torch.nn import functional


@dataclass(frozen=True)
class Calibration:
    """``offsets``, one for each class, are added to the logits after division by ``temperature``."""

    temperature: float
    prior_strength: float
    offsets: list[float]

    def logits(self, logits: torch.Tensor) -> torch.Tensor:
        """Calibrated logits [n, classes] of logits [n, classes]; differentiable."""
        offsets = torch.tensor(self.offsets, dtype=logits.dtype, device=logits.device)
        return logits / self.temperature + offsets

    def log_probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        """Calibrated log-probabilities [n, classes] of logits [n, classes]; differentiable."""
        return self.logits(logits).log_softmax(1)

    def nll(self, logits: torch.Tensor, labels: torch.Tensor) -> float:
        """Mean negative log-likelihood of the labels [n], in nats."""
        return float(functional.nll_loss(self.log_probabilities(logits.double()), labels))


def calibrate(logits: torch.Tensor, labels: torch.Tensor, counts: np.ndarray) -> Calibration:
    """The calibration that maximizes the likelihood of the validation ``labels`` [n].

    ``logits`` [n, classes]; ``counts`` [classes] are the training images of each class.
    """
    logits, labels = logits.double().cpu(), labels.cpu()
    log_prior = np.log(counts / counts.sum())

    def calibration(logarithm: float, strength: float) -> Calibration:
        return Calibration(float(np.exp(logarithm)), strength, list(-strength * log_prior))

    def loss(point: Any) -> float:
        return calibration(*map(float, point)).nll(logits, labels)

    bounds = [(np.log(1e-3), np.log(1e2)), (0, 1)]
    found = minimize(loss, (0.0, 0.0), bounds=bounds, method="Powell", options={"xtol": 1e-4, "ftol": 1e-8})
    logarithm, strength = map(float, found.x)
    return calibration(logarithm, strength if np.ptp(counts) else 0.0)  # with equal counts it has no effect
