"""Whether a step from one commit's predictions to another's is more than chance, on the images of both.

The metrics and the tests are those of a comparison (`pets.comparison.verdicts`), for a whole history at once:
all tests of all steps are corrected together. A step between identical predictions needs no test and counts
as none.

A model that is fitted again, with another seed or penalty, has other probabilities on every image, and so
almost always another NLL by more than the chance of which images are tested. Such a step is real only where
NLL also leaves the 95% interval of the commit before.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from pets.comparison.verdicts import CHANCE, LEVEL, NOISE, Tested
from pets.history.outcomes import Outcomes
from pets.history.randomization import swap_tests
from pets.metrics.paired import holm, mcnemar_exact
from pets.report.evaluation import MEAN_PER_CLASS, NLL, TOP1

METRICS = (TOP1, MEAN_PER_CLASS, NLL)
DECISIVE = int(np.ceil(1 - np.log2(LEVEL)))  # differing images with which p can be below the level at all


class UnpairableError(Exception):
    """Predictions that cannot be compared image by image; the message says why."""


@dataclass(frozen=True)
class Step:
    """One commit's predictions against another's. ``tests`` are empty where all are the same.

    ``images`` are in both with the same label, ``of_old`` and ``of_new`` those that each was tested on.
    ``nll_margins`` are how far below and above its NLL the 95% interval of the old one reaches.
    """

    images: int
    of_old: int
    of_new: int
    gained: int
    lost: int
    nll_margins: tuple[float, float] = (-np.inf, np.inf)
    tests: tuple[Tested, ...] = ()

    @property
    def beyond_chance(self) -> tuple[Tested, ...]:
        """The metrics that differ by more than chance."""
        return tuple(test for test in self.tests if test.verdict != CHANCE)

    @property
    def real(self) -> tuple[Tested, ...]:
        """Those of them that mark the step."""
        low, high = self.nll_margins
        return tuple(
            test
            for test in self.beyond_chance
            if test.metric is not NLL or not low <= test.difference <= high
        )


@dataclass(frozen=True)
class Difference:
    """A step before it is tested: what the metrics are, and [n] what each image adds to their difference."""

    step: Step
    metrics: tuple[tuple[float, float], ...]  # old and new, of METRICS
    added: tuple[np.ndarray, ...]


def difference(old: Outcomes, new: Outcomes, nll_margins: tuple[float, float]) -> Difference:
    """The outcomes side by side on the images of both. Raises UnpairableError."""
    if old.classes != new.classes:
        raise UnpairableError("their classes differ")
    rows = _shared(old.images, new.images)
    if not len(rows[0]):
        raise UnpairableError("they were tested on no image in common")
    was, now = old.correct[rows[0]].astype(float), new.correct[rows[1]].astype(float)
    codes, labels = pd.factorize(old.images["label"].to_numpy()[rows[0]])
    sizes = np.bincount(codes)[codes] * len(labels)  # an image's share in the mean of the classes' accuracies
    nlls = old.nll[rows[0]], new.nll[rows[1]]
    added = now - was
    nats = nlls[1] - nlls[0]
    step = Step(
        images=len(was),
        of_old=len(old.correct),
        of_new=len(new.correct),
        gained=int((added > 0).sum()),
        lost=int((added < 0).sum()),
        nll_margins=nll_margins,
    )
    metrics = (
        (was.mean(), now.mean()),
        ((was / sizes).sum(), (now / sizes).sum()),
        (nlls[0].mean(), nlls[1].mean()),
    )
    values = tuple((float(before), float(after)) for before, after in metrics)
    return Difference(step, values, (added, added / sizes, np.where(np.abs(nats) > NOISE, nats, 0)))


def tested(differences: Sequence[Difference], seed: int) -> tuple[list[Step], int]:
    """The steps with their tests, and for how many tests they were corrected by Holm's method.

    A test with so few differing images that no outcome could be below the level does not count: which
    images differ is the same under the null hypothesis (Tarone: A modified Bonferroni method for discrete
    data, Biometrics 1990).
    """
    made = [(i, m) for i, each in enumerate(differences) for m in range(len(METRICS)) if each.added[m].any()]
    swapped = [(i, m) for i, m in made if METRICS[m] is not TOP1]
    p_values = swap_tests([_differing(differences[i].added[m]) for i, m in swapped], seed)
    p = dict(zip(swapped, map(float, p_values), strict=True))
    for i, m in made:
        if METRICS[m] is TOP1:
            p[i, m] = mcnemar_exact(differences[i].step.gained, differences[i].step.lost)
    counted = [(i, m) for i, m in made if np.count_nonzero(differences[i].added[m]) >= DECISIVE]
    corrected = dict(zip(counted, holm([p[each] for each in counted]) if counted else [], strict=True))
    steps = []
    for i, each in enumerate(differences):
        tests = tuple(
            Tested(metric, *each.metrics[m], p.get((i, m), 1.0), corrected.get((i, m), 1.0))
            for m, metric in enumerate(METRICS)
            if any(added.any() for added in each.added)
        )
        steps.append(replace(each.step, tests=tests))
    return steps, len(counted)


def _differing(added: np.ndarray) -> np.ndarray:
    return added[added != 0]


def _shared(old: pd.DataFrame, new: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """The rows of the images that both have, with the same label."""
    if old is new:
        return np.arange(len(old)), np.arange(len(old))
    before, after = (each.assign(row=np.arange(len(each))) for each in (old, new))
    both = before.merge(after, on=["image_id", "label"], suffixes=("_old", "_new"))
    return both["row_old"].to_numpy(), both["row_new"].to_numpy()
