"""Two classifiers on the same images: is the difference more than chance?

Because both saw the same images, what counts are the images on which they disagree. The luck of which images
are in the test set falls on both alike, so that a paired test sees differences which two intervals, one for
each, would drown.
"""

from collections.abc import Sequence

import numpy as np
from scipy import stats

from stages.scores.metrics import weighted

CHUNK = 100  # samples at a time, so that counts take a few MB


def mcnemar_exact(gained: int, lost: int) -> float:
    """Two-sided exact p-value that the accuracies differ (McNemar 1947, in its binomial form).

    ``gained``: images that only the new classifier has right, ``lost``: that only the old one has. Were both
    equally good, each such image would fall to either side with probability 1/2.
    """
    return float(stats.binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0


def swap_test(differences: np.ndarray, samples: int, seed: int) -> float:
    """Two-sided p-value that the sum of per-image ``differences`` [n], new minus old, is other than zero.

    The randomization test (Fisher: The design of experiments, 1935): were both equally good, old and new
    could change places on any image, which turns its sign. All ways are tried where there are fewer than
    ``samples``, else so many at random, and the way at hand counts as one of them (Phipson, Smyth 2010). With
    differences of 1, 0 and -1 it is McNemar's test; with each divided by the number of images of its class,
    it is the same for mean per-class accuracy.
    """
    differing = differences[differences != 0]  # the others contribute nothing, whichever way they are turned
    if len(differing) < 2:
        return 1.0  # a single image is as far from zero either way
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


def paired_bootstrap(
    old: np.ndarray, new: np.ndarray, labels: np.ndarray, samples: int, seed: int
) -> dict[str, tuple[float, float]]:
    """95% percentile intervals (Efron: Bootstrap methods, 1979) of new minus old, for each headline metric.

    ``old`` and ``new`` are probabilities [n, k] of the same images, ``labels`` [n] in 0..k-1. Each sample
    draws images with replacement and scores both classifiers on the same draw. As for a single classifier's
    interval, both stay as they are: what other training sets would have given is not in it.
    """
    generator = np.random.default_rng(seed)
    images = len(labels)
    drawn: dict[str, list[np.ndarray]] = {}
    for start in range(0, samples, CHUNK):
        size = min(CHUNK, samples - start)
        counts = generator.multinomial(images, np.full(images, 1 / images), size=size).astype(float)
        before, after = (weighted(each, labels, counts) for each in (old, new))
        for name, values in after.items():
            drawn.setdefault(name, []).append(values - before[name])
    bounds = {name: np.percentile(np.concatenate(values), (2.5, 97.5)) for name, values in drawn.items()}
    return {name: (float(low), float(high)) for name, (low, high) in bounds.items()}


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction (1979) of p-values [m] for their number, in their order.

    Rejecting those below 0.05 makes even one false finding with a probability of at most 0.05, however the
    tests depend on each other. The smallest is multiplied by m, the next by m - 1 and so on; none becomes
    smaller than one before it, or larger than 1.
    """
    p = np.asarray(p_values, dtype=float)
    order = p.argsort(kind="stable")
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1)
    return [float(each) for each in corrected]
