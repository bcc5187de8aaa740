"""What the difference between two combinations is worth: paired tests on the images that both have.

Three metrics are tested: top-1, mean per-class accuracy, and NLL, which sees better and worse probabilities
where the guesses stay the same. All tests of a comparison are corrected together for how many they are, so
that "better" and "worse" mean the same however much is compared.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from flows.revisions import Predictions
from stages.errors import UserError
from stages.pictures.evaluation import HEADLINE, MEAN_PER_CLASS, TOP1, Metric
from stages.scores.metrics import LEAST, headline
from stages.scores.paired import holm, mcnemar_exact, paired_bootstrap, swap_test

NLL = next(each for each in HEADLINE if each.key == "nll")
LEVEL = 0.05  # how often chance alone may be called a difference
SWAPS = 9999  # of the randomization test: no p-value below 2 in 10,000
NOISE = 1e-4  # nats: what another machine's arithmetic may change on an image is no difference
BETTER, WORSE, CHANCE = "better", "worse", "no more than chance"


@dataclass(frozen=True)
class Test:
    """Whether a metric, in 0..1 or in nats, differs on the images that both have.

    ``interval`` is the 95% interval of the difference, ``p`` the test's p-value and ``corrected`` the same
    after Holm's correction.
    """

    metric: Metric
    old: float
    new: float
    interval: tuple[float, float]
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
class Paired:
    """Two combinations on the images that both have.

    ``images`` has a row for each: image_id, label, old_guess, new_guess, old_right, new_right, and old_truth
    and new_truth, the probabilities that were given to the right class. ``classes`` has a row for each class:
    label, images, old and new accuracy, gained, lost, and its McNemar p-value, corrected for their number.
    ``intervals`` are of every headline metric's difference. ``of_old`` and ``of_new`` count the images that
    each was tested on, ``relabelled`` those left out because their labels differ.
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
        """Images that only the new one has right, those whose truth won most probability first."""
        found = self.images[self.images["new_right"] & ~self.images["old_right"]]
        return found.iloc[(found["old_truth"] - found["new_truth"]).argsort(kind="stable")]

    @property
    def lost(self) -> pd.DataFrame:
        """Images that only the old one has right, those whose truth lost most probability first."""
        found = self.images[self.images["old_right"] & ~self.images["new_right"]]
        return found.iloc[(found["new_truth"] - found["old_truth"]).argsort(kind="stable")]

    @property
    def moved(self) -> pd.DataFrame:
        """The classes whose accuracy differs, the largest difference in images first."""
        moved = self.classes[self.classes["gained"] != self.classes["lost"]]
        size = (moved["gained"] - moved["lost"]).abs()
        return moved.assign(size=size).sort_values(["size", "label"], ascending=[False, True])

    @property
    def whole(self) -> bool:
        """Whether these are all images that either was tested on."""
        return len(self.images) == self.of_old == self.of_new


class UnpairableError(UserError):
    """Two combinations that have no images, or not the same classes, in common."""


def paired(old: Predictions, new: Predictions, samples: int, seed: int) -> Paired:
    """Compare the guesses of two combinations image by image; the p-values are not corrected yet.

    Raises UnpairableError where their classes differ or they share no image.
    """
    _check_classes(old.classes, new.classes)
    both = old.table.merge(new.table, on="image_id", suffixes=("_old", "_new"), validate="one_to_one")
    agreed = both[both["label_old"] == both["label_new"]].reset_index(drop=True)
    if agreed.empty:
        raise UnpairableError(
            "they were tested on no image in common (images are the same by name)"
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
            "old_guess": agreed["predicted_old"],
            "new_guess": agreed["predicted_new"],
            "old_right": agreed["predicted_old"] == agreed["label_old"],
            "new_right": agreed["predicted_new"] == agreed["label_new"],
            "old_truth": before[rows, labels],
            "new_truth": after[rows, labels],
        }
    )
    intervals = paired_bootstrap(before, after, labels, samples, seed)
    scores = headline(before, labels), headline(after, labels)
    p_values = _p_values(images, seed)
    return Paired(
        images=images,
        classes=_classes(images),
        intervals=intervals,
        tests=tuple(
            Test(metric, scores[0][metric.key], scores[1][metric.key], intervals[metric.key], p, p)
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
    differences = images["new_right"].to_numpy(float) - images["old_right"].to_numpy(float)
    of_class = images.groupby("label")["label"].transform("size").to_numpy(float)
    gained, lost = int((differences > 0).sum()), int((differences < 0).sum())
    surprise = -np.log(np.maximum(images[["old_truth", "new_truth"]].to_numpy(float), LEAST))
    added = surprise[:, 1] - surprise[:, 0]  # nats
    return [
        (TOP1, mcnemar_exact(gained, lost)),
        (MEAN_PER_CLASS, swap_test(differences / of_class, SWAPS, seed)),
        (NLL, swap_test(np.where(np.abs(added) > NOISE, added, 0), SWAPS, seed)),
    ]


def _check_classes(old: list[str], new: list[str]) -> None:
    only = {"OLD": sorted(set(old) - set(new)), "NEW": sorted(set(new) - set(old))}
    told = [
        f"only {side} has {', '.join(names[:3])}" + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        for side, names in only.items()
        if names
    ]
    if told:
        raise UnpairableError(f"their classes differ: {'; '.join(told)}")


def _probabilities(table: pd.DataFrame, side: str, classes: list[str], order: list[str]) -> np.ndarray:
    """Probabilities [n, k], their columns in the order ``order``."""
    columns = [classes.index(each) for each in order]
    values = np.stack(table[f"probabilities_{side}"].to_list()).astype(float)[:, columns]
    # Stored in float32, the two likeliest classes can tie: the guess that was made keeps the lead.
    guess = pd.Categorical(table[f"predicted_{side}"], categories=order).codes
    values[np.arange(len(values)), guess] = np.nextafter(values.max(1), np.inf)
    return values


def _classes(images: pd.DataFrame) -> pd.DataFrame:
    gained, lost = images["new_right"] & ~images["old_right"], images["old_right"] & ~images["new_right"]
    grouped = images.assign(gained=gained, lost=lost, images=1).groupby("label", sort=True)
    table = grouped.agg(
        images=("images", "sum"),
        old=("old_right", "mean"),
        new=("new_right", "mean"),
        gained=("gained", "sum"),
        lost=("lost", "sum"),
    ).reset_index()
    table["p"] = holm([mcnemar_exact(*each) for each in zip(table["gained"], table["lost"], strict=True)])
    return table
