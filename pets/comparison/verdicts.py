"""Whether two combinations differ by more than chance: paired tests on the images that both have.

Three metrics are tested: top-1, mean per-class accuracy, and NLL, which detects better and worse
probabilities even where the predictions stay the same. All tests of a comparison are corrected together for
their number, so that "better" and "worse" mean the same however much is compared.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from pets.comparison.revisions import Predictions
from pets.core.errors import UserError
from pets.metrics.bootstrap import bootstrap_intervals
from pets.metrics.metrics import MIN_PROBABILITY, measure
from pets.metrics.paired import holm, mcnemar_exact, swap_test
from pets.report.evaluation import MEAN_PER_CLASS, NLL, TOP1, Metric

LEVEL = 0.05  # significance level: how often chance alone may be called a difference
SWAPS = 9999  # of the randomization test: no p-value is below 2 in 10,000
NOISE = 1e-4  # nats: a smaller change on an image may come from another machine's arithmetic, and is ignored
BETTER, WORSE, CHANCE = "better", "worse", "no more than chance"


@dataclass(frozen=True)
class Tested:
    """Whether a metric, in 0..1 or in nats, differs on the images that both have.

    ``p`` is the test's p-value and ``corrected`` the same after Holm's correction.
    """

    metric: Metric
    old: float
    new: float
    p: float
    corrected: float

    @property
    def difference(self) -> float:
        """New minus old."""
        return self.new - self.old

    @property
    def verdict(self) -> str:
        """``better``, ``worse`` or ``no more than chance``, by the corrected p-value."""
        if self.corrected >= LEVEL:
            return CHANCE
        return BETTER if (self.difference > 0) == self.metric.higher_is_better else WORSE


@dataclass(frozen=True)
class Test(Tested):
    """The same with the 95% interval of the difference."""

    interval: tuple[float, float]


@dataclass(frozen=True)
class Paired:
    """Two combinations on the images that both have.

    ``images`` has a row for each: image_id, label, old_predicted, new_predicted, old_correct, new_correct,
    and old_probability and new_probability, those of the label. ``classes`` has a row for each class: label,
    images, old and new accuracy, gained, lost, and its McNemar p-value, corrected for their number.
    ``intervals`` are of every metric's difference. ``of_old`` and ``of_new`` count the images that each was
    tested on, ``relabelled`` those left out because their labels differ.
    """

    images: pd.DataFrame
    classes: pd.DataFrame
    intervals: dict[str, tuple[float, float]]
    tests: tuple[Test, ...]
    of_old: int
    of_new: int
    relabelled: int

    @property
    def gained(self) -> pd.DataFrame:
        """Images that only the new one has right, those whose label gained most probability first."""
        found = self.images[self.images["new_correct"] & ~self.images["old_correct"]]
        return found.iloc[(found["old_probability"] - found["new_probability"]).argsort(kind="stable")]

    @property
    def lost(self) -> pd.DataFrame:
        """Images that only the old one has right, those whose label lost most probability first."""
        found = self.images[self.images["old_correct"] & ~self.images["new_correct"]]
        return found.iloc[(found["new_probability"] - found["old_probability"]).argsort(kind="stable")]

    @property
    def moved(self) -> pd.DataFrame:
        """The classes whose accuracy changed, the largest change in images first."""
        moved = self.classes[self.classes["gained"] != self.classes["lost"]]
        size = (moved["gained"] - moved["lost"]).abs()
        return moved.assign(size=size).sort_values(["size", "label"], ascending=[False, True])

    @property
    def complete(self) -> bool:
        """Whether these are all images that either was tested on."""
        return len(self.images) == self.of_old == self.of_new


class UnpairableError(UserError):
    """Two combinations that have no images in common, or different classes."""


def paired(old: Predictions, new: Predictions, samples: int, seed: int) -> Paired:
    """Compare the predictions of two combinations image by image; the p-values are not corrected yet.

    Raises UnpairableError where their classes differ or they share no image.
    """
    _check_classes(old.classes, new.classes)
    both = old.table.merge(new.table, on="image_id", suffixes=("_old", "_new"), validate="one_to_one")
    agreed = both[both["label_old"] == both["label_new"]].reset_index(drop=True)
    if agreed.empty:
        raise UnpairableError(
            "they were tested on no image in common (images are identified by name)"
            if both.empty
            else f"the {len(both):,} images in common all have other labels"
        )
    labels = pd.Categorical(agreed["label_old"], categories=old.classes).codes.astype(np.int64)
    before = _probabilities(agreed, "old", old.classes, old.classes)
    after = _probabilities(agreed, "new", new.classes, old.classes)
    rows = np.arange(len(labels))
    images = pd.DataFrame(
        {
            "image_id": agreed["image_id"],
            "label": agreed["label_old"],
            "old_predicted": agreed["predicted_old"],
            "new_predicted": agreed["predicted_new"],
            "old_correct": agreed["predicted_old"] == agreed["label_old"],
            "new_correct": agreed["predicted_new"] == agreed["label_new"],
            "old_probability": before[rows, labels],
            "new_probability": after[rows, labels],
        }
    )
    intervals = bootstrap_intervals(after, labels, samples, seed, baseline=before)
    scores = measure(before, labels), measure(after, labels)
    p_values = _p_values(images, seed)
    return Paired(
        images=images,
        classes=_classes(images),
        intervals=intervals,
        tests=tuple(
            Test(metric, scores[0][metric.key], scores[1][metric.key], p, p, intervals[metric.key])
            for metric, p in p_values
        ),
        of_old=len(old.table),
        of_new=len(new.table),
        relabelled=len(both) - len(agreed),
    )


def corrected(all_paired: Sequence[Paired]) -> list[Paired]:
    """The same with the p-values of all their tests corrected together by Holm's method."""
    p_values = iter(holm([test.p for each in all_paired for test in each.tests]))
    return [
        replace(each, tests=tuple(replace(test, corrected=next(p_values)) for test in each.tests))
        for each in all_paired
    ]


def _p_values(images: pd.DataFrame, seed: int) -> list[tuple[Metric, float]]:
    differences = images["new_correct"].to_numpy(float) - images["old_correct"].to_numpy(float)
    class_sizes = images.groupby("label")["label"].transform("size").to_numpy(float)
    gained, lost = int((differences > 0).sum()), int((differences < 0).sum())
    probabilities = images[["old_probability", "new_probability"]].to_numpy(float)
    nll = -np.log(np.maximum(probabilities, MIN_PROBABILITY))
    added = nll[:, 1] - nll[:, 0]  # nats
    return [
        (TOP1, mcnemar_exact(gained, lost)),
        (MEAN_PER_CLASS, swap_test(differences / class_sizes, SWAPS, seed)),
        (NLL, swap_test(np.where(np.abs(added) > NOISE, added, 0), SWAPS, seed)),
    ]


def _check_classes(old: list[str], new: list[str]) -> None:
    only = {"OLD": sorted(set(old) - set(new)), "NEW": sorted(set(new) - set(old))}
    differences = [
        f"only {side} has {', '.join(names[:3])}" + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        for side, names in only.items()
        if names
    ]
    if differences:
        raise UnpairableError(f"their classes differ: {'; '.join(differences)}")


def _probabilities(table: pd.DataFrame, side: str, classes: list[str], order: list[str]) -> np.ndarray:
    """Probabilities [n, k], their columns in the order ``order``."""
    columns = [classes.index(each) for each in order]
    values = np.stack(table[f"probabilities_{side}"].to_list()).astype(float)[:, columns]
    # The two most likely classes can tie in float32, as stored: the recorded prediction stays first.
    predicted = pd.Categorical(table[f"predicted_{side}"], categories=order).codes
    values[np.arange(len(values)), predicted] = np.nextafter(values.max(1), np.inf)
    return values


def _classes(images: pd.DataFrame) -> pd.DataFrame:
    gained = images["new_correct"] & ~images["old_correct"]
    lost = images["old_correct"] & ~images["new_correct"]
    grouped = images.assign(gained=gained, lost=lost, images=1).groupby("label", sort=True)
    table = grouped.agg(
        images=("images", "sum"),
        old=("old_correct", "mean"),
        new=("new_correct", "mean"),
        gained=("gained", "sum"),
        lost=("lost", "sum"),
    ).reset_index()
    table["p"] = holm([mcnemar_exact(*each) for each in zip(table["gained"], table["lost"], strict=True)])
    return table
