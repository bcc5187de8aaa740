"""Calibration: from a head's logits to calibrated probabilities, by two numbers fitted on validation.

The temperature corrects the confidence (Guo, Pleiss, Sun, Weinberger: On calibration of modern neural
networks, ICML 2017). The strength of the prior corrects a regularized head's bias towards classes with many
training images (Menon et al.: Long-tail learning via logit adjustment, ICLR 2021): 0 corrects nothing, 1 all
of it; with equally many images in each class it has no effect.

Where validation is small or perfectly separated, its likelihood grows without bound as the temperature falls.
A Cauchy prior on the logarithm of the temperature holds it near 1 unless the images say otherwise (Gelman,
Jakulin, Pittau, Su: A weakly informative default prior distribution for logistic and other regression
models, 2008). Its tails are heavy, so that a head whose logits have another scale, such as cosines, still
gets the temperature that it needs.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional

# The prior's scale. Over 200 draws of 2 to 6 breeds with 10 to 30 photographs each, scales from 0.3 to 1
# seldom made a head's likelihood worse on other photographs; 2.5 did for one draw in fifteen.
SCALE = 0.5
TEMPERATURES = np.log(1e-3), np.log(1e2)


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
    """The most probable calibration given the validation ``labels`` [n]; their likelihood is never lower
    than without calibration.

    ``logits`` [n, classes]; ``counts`` [classes] are the training images of each class.
    """
    from scipy.optimize import minimize  # takes half a second, and only `train` calibrates

    logits, labels = logits.double().cpu(), labels.cpu()
    log_prior = np.log(counts / counts.sum())

    def calibration(logarithm: float, strength: float) -> Calibration:
        return Calibration(float(np.exp(logarithm)), strength, list(-strength * log_prior))

    def loss(point: Any) -> float:
        logarithm, strength = map(float, point)
        prior = np.log1p((logarithm / SCALE) ** 2)
        return calibration(logarithm, strength).nll(logits, labels) + prior / len(labels)

    # The prior can leave two minima: the search starts at the lower one, and keeps the best point of all.
    starts = [(0.0, 0.0), *((logarithm, 0.0) for logarithm in np.linspace(*TEMPERATURES, 24))]
    found = minimize(
        loss, min(starts, key=loss), bounds=[TEMPERATURES, (0, 1)], method="Nelder-Mead",
        options={"xatol": 1e-4, "fatol": 1e-8},
    )  # fmt: skip
    logarithm, strength = map(float, found.x)
    return calibration(logarithm, strength if np.ptp(counts) else 0.0)  # with equal counts it has no effect
