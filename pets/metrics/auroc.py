"""Area under the ROC curve: how well a score separates two groups of images."""

import numpy as np


def auroc(low: np.ndarray, high: np.ndarray) -> float:
    """The probability that a score of ``high`` is above one of ``low``; equal ones count half.

    Hanley, McNeil: The meaning and use of the area under a receiver operating characteristic curve, 1982.
    """
    ordered = np.sort(low)
    below, up_to = (np.searchsorted(ordered, high, side) for side in ("left", "right"))
    return float((below + up_to).mean() / 2 / len(low))


def auroc_interval(low: np.ndarray, high: np.ndarray, samples: int, seed: int) -> tuple[float, float]:
    """The 95% percentile interval (Efron: Bootstrap methods, 1979), with both groups resampled."""
    random = np.random.default_rng(seed)
    found = [auroc(random.choice(low, len(low)), random.choice(high, len(high))) for _ in range(samples)]
    return _percentiles(np.array(found))


def mean_interval(values: np.ndarray, samples: int, seed: int) -> tuple[float, float]:
    """The 95% percentile interval of the mean of ``values`` [n], with these resampled."""
    random = np.random.default_rng(seed)
    return _percentiles(random.choice(values, (samples, len(values))).mean(1))


def _percentiles(values: np.ndarray) -> tuple[float, float]:
    low, high = np.percentile(values, (2.5, 97.5))
    return float(low), float(high)
