"""What a trick changes: paired differences of accuracy over seeds and images, and their intervals.

Two things are inferred at once: what the mean over other seeds would be (retraining with another
initialization, order of images, dropout), and what it would be on other images of the same kind. The training
images stay as they are: how much another training set would change is not included, nor is another choice of
the learning rates, which are part of the recipes.

The difference of run s on image i is mean + seed effect + image effect + rest, crossed: every run is tested
on every image. The variance of the mean is estimated as var(means of seeds) / seeds + var(means of images) /
images, the two-way variance of Cameron, Gelbach and Miller (Robust inference with multiway clustering, 2011)
without its last, negative term: the rest is counted twice, which errs to the safe side, as the product
bootstrap does (Owen, Eckles: Bootstrapping data arrays of arbitrary order, 2012). The interval is Student's,
with the degrees of freedom of Satterthwaite (1946).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from pets.metrics.paired import holm

LEVEL = 0.05  # how often chance alone may give even one interval of a table that leaves out zero


@dataclass(frozen=True)
class Difference:
    """A mean difference of accuracy, its standard error, and the degrees of freedom of that."""

    mean: float
    error: float
    degrees: float

    @property
    def p(self) -> float:
        """Two-sided p-value that the mean is zero."""
        if not self.error:
            return float(self.mean == 0)
        return float(2 * stats.t.sf(abs(self.mean) / self.error, self.degrees))

    def interval(self, level: float) -> tuple[float, float]:
        """The ends of the interval that leaves out zero where ``p`` is below ``level``."""
        half = float(stats.t.isf(level / 2, self.degrees)) * self.error
        return self.mean - half, self.mean + half


@dataclass(frozen=True)
class Effect:
    """A difference in its table: ``p`` corrected by Holm's method, and the interval that agrees with it."""

    mean: float
    low: float
    high: float
    p: float


def paired_difference(one: np.ndarray, other: np.ndarray) -> Difference:
    """Of two recipes' ``correct`` [seeds, images], row by row of the same seed: one minus other.

    Two seeds are the fewest that have a variance.
    """
    difference = one.astype(float) - other
    seeds, images = difference.shape
    of_seeds = difference.mean(1).var(ddof=1) / seeds
    of_images = difference.mean(0).var(ddof=1) / images
    variance = of_seeds + of_images
    rest = of_seeds**2 / (seeds - 1) + of_images**2 / (images - 1)
    degrees = variance**2 / rest if variance else float(seeds - 1)
    return Difference(float(difference.mean()), float(variance**0.5), float(degrees))


def effects(differences: Sequence[Difference]) -> list[Effect]:
    """The differences of a table: an interval leaves out zero where Holm's p is below 0.05, and only there.

    The k-th smallest of m p-values has the interval of the level at which Holm's method tests it, 0.05 /
    (m - k + 1); those after the first that is not rejected have that one's (Serlin: Confidence intervals and
    the scientific method, 1993). With equal recipes all over, at least one interval of the table leaves out
    zero in at most 5% of tables.
    """
    if not differences:
        return []
    p = [each.p for each in differences]
    corrected = holm(p)
    rejected = sum(each < LEVEL for each in corrected)
    rank = np.argsort(np.argsort(p, kind="stable"))
    found = []
    for each, adjusted, place in zip(differences, corrected, rank, strict=True):
        low, high = each.interval(LEVEL / (len(p) - min(int(place), rejected)))
        found.append(Effect(each.mean, low, high, adjusted))
    return found
