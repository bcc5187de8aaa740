"""Two classifiers on the same images: is the difference more than chance?

Only the images on which they disagree count. The choice of test images affects both classifiers alike, so
that a paired test detects differences that are too small for two separate intervals.
"""

from collections.abc import Sequence

import numpy as np
from scipy import stats
from statsmodels.stats.multitest import multipletests


def mcnemar_exact(gained: int, lost: int) -> float:
    """Two-sided exact p-value that the accuracies differ (McNemar 1947, in its binomial form).

    ``gained``: images that only the new classifier has right, ``lost``: that only the old one has. Were both
    equally good, each such image would be either with probability 1/2.
    """
    return float(stats.binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0


def difference_interval(gained: int, lost: int, images: int) -> tuple[float, float]:
    """95% interval of the difference of two accuracies, new minus old, on the same ``images``.

    The adjusted Wald interval (Bonett, Price: Adjusted Wald confidence interval for a difference of binomial
    proportions based on paired data, 2012); ``gained`` and ``lost`` as in `mcnemar_exact`.
    """
    up, down = ((each + 1) / (images + 2) for each in (gained, lost))
    half = stats.norm.ppf(0.975) * ((up + down - (up - down) ** 2) / (images + 2)) ** 0.5
    return float(max(up - down - half, -1)), float(min(up - down + half, 1))


def swap_test(differences: np.ndarray, samples: int, seed: int) -> float:
    """Two-sided p-value that the sum of per-image ``differences`` [n], new minus old, is not zero.

    The randomization test (Fisher: The design of experiments, 1935): were both equally good, old and new
    could be swapped on any image, which changes the sign of its difference. All combinations are tried where
    there are fewer than ``samples``, otherwise that many at random, and the observed one counts as one of
    them (Phipson, Smyth 2010). With differences of 1, 0 and -1 it is McNemar's test; with each divided by the
    number of images of its class, it is the same for mean per-class accuracy.
    """
    differing = differences[differences != 0]  # the others contribute nothing
    if len(differing) < 2:
        return 1.0  # a single image is equally far from zero either way
    result = stats.permutation_test(
        (differing,),
        np.sum,
        permutation_type="samples",
        vectorized=True,
        n_resamples=samples,
        batch=1000,
        rng=np.random.default_rng(seed),
    )
    return float(result.pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values [m] after Holm's step-down correction (1979) for their number, in the same order.

    Rejecting those below 0.05 makes even one false finding with a probability of at most 0.05, however the
    tests depend on each other.
    """
    return [float(p) for p in multipletests(p_values, method="holm")[1]]
