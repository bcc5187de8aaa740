"""Whether a difference is more than chance, on predictions that are made for one question each."""

import numpy as np
import pandas as pd
import pytest

from pets.comparison.revisions import Predictions
from pets.comparison.thumbnails import other_pictures
from pets.comparison.verdicts import BETTER, CHANCE, WORSE, Paired, UnpairableError, corrected, paired
from pets.metrics.paired import mcnemar_exact
from tests.report.generated import probabilities

CLASSES = ["ant", "bee", "cat", "dog"]


def predictions(
    p: np.ndarray, truth: np.ndarray, classes: list[str] = CLASSES, first: int = 0
) -> Predictions:
    """Predictions of images ``first``, ``first + 1``, ..., as predictions.parquet has them."""
    labels, predicted = np.array(classes)[truth], np.array(classes)[p.argmax(1)]
    table = pd.DataFrame(
        {
            "image_id": [f"image_{first + i}" for i in range(len(truth))],
            "label": labels,
            "predicted": predicted,
            "probabilities": list(p.astype(np.float32)),
        }
    )
    return Predictions(table, classes)


def compare(old: Predictions, new: Predictions) -> Paired:
    (one,) = corrected([paired(old, new, samples=100, seed=0)])
    return one


TRUTH = np.repeat(np.arange(4), [60, 30, 20, 10])
WEAK, STRONG = (probabilities(TRUTH, 4, strength, seed=0) for strength in (0.8, 2.4))


def test_better_is_better_and_a_lower_nll_is_better() -> None:
    found = compare(predictions(WEAK, TRUTH), predictions(STRONG, TRUTH))
    assert [test.verdict for test in found.tests] == [BETTER] * 3
    assert [test.difference > 0 for test in found.tests] == [True, True, False]
    back = compare(predictions(STRONG, TRUTH), predictions(WEAK, TRUTH))
    assert [test.verdict for test in back.tests] == [WORSE] * 3


def test_mean_per_class_detects_a_rare_class_where_top1_does_not() -> None:
    """The whole rarest class is lost, and as many images of the commonest are gained."""
    predicted = TRUTH.copy()
    predicted[:10] = 1
    old = np.eye(4)[predicted]
    predicted = TRUTH.copy()
    predicted[-10:] = 1
    new = np.eye(4)[predicted]
    top1, per_class, _ = compare(predictions(old, TRUTH), predictions(new, TRUTH)).tests
    assert (top1.difference, top1.p) == (0, 1.0)
    assert per_class.difference == pytest.approx((10 / 60 - 1) / 4)
    assert per_class.verdict == WORSE


def test_the_order_of_classes_and_rows_changes_nothing() -> None:
    reverse = [CLASSES[i] for i in (2, 0, 3, 1)]
    other = predictions(
        STRONG[:, [2, 0, 3, 1]], np.array([reverse.index(CLASSES[each]) for each in TRUTH]), reverse
    )
    shuffled = Predictions(other.table.sample(frac=1, random_state=0), other.classes)
    same = compare(predictions(STRONG, TRUTH), shuffled)
    assert [test.p for test in same.tests] == [1.0] * 3
    assert set(same.intervals.values()) == {(0.0, 0.0)}


def test_only_images_of_both_with_the_same_label_count() -> None:
    old, new = predictions(WEAK, TRUTH), predictions(STRONG, TRUTH, first=20)
    new.table["label"] = old.table["label"].reindex(np.arange(20, 140)).to_numpy()  # the right ones, shifted
    new.table.loc[100:, "label"] = "ant"
    new.table.loc[:4, "label"] = "dog"
    found = compare(old, new)
    assert (len(found.images), found.relabelled, found.of_old, found.of_new) == (95, 5, 120, 120)
    assert not found.complete
    top1 = found.tests[0]
    assert top1.old == pytest.approx(found.images["old_correct"].mean())
    assert top1.new == pytest.approx(found.images["new_correct"].mean())
    assert top1.p == mcnemar_exact(len(found.gained), len(found.lost))


def test_gained_and_lost_begin_with_the_largest_change() -> None:
    found = compare(predictions(WEAK, TRUTH), predictions(STRONG, TRUTH))
    assert len(found.gained) > 5
    won = found.gained["new_probability"] - found.gained["old_probability"]
    assert won.is_monotonic_decreasing
    reverse = compare(predictions(STRONG, TRUTH), predictions(WEAK, TRUTH))
    assert list(reverse.lost["image_id"]) == list(found.gained["image_id"])


def test_where_float32_ties_the_recorded_prediction_stays_first() -> None:
    p = np.array([[0.4, 0.4 + 1e-12, 0.1, 0.1 - 1e-12]] * 2)
    truth = np.array([1, 1])
    made = predictions(p, truth)
    assert made.table["predicted"].tolist() == ["bee", "bee"]
    top1, *_ = compare(made, made).tests
    assert (top1.old, top1.new) == (1.0, 1.0)


def test_another_machines_arithmetic_is_no_difference() -> None:
    noisy = STRONG * (1 - 1e-6 * np.eye(4)[TRUTH])  # every image a little worse
    nll = compare(predictions(STRONG, TRUTH), predictions(noisy, TRUTH)).tests[-1]
    assert nll.difference > 0
    assert (nll.p, nll.verdict) == (1.0, CHANCE)
    real = STRONG * (1 - 1e-2 * np.eye(4)[TRUTH])
    assert compare(predictions(STRONG, TRUTH), predictions(real, TRUTH)).tests[-1].verdict == WORSE


def test_classes_that_changed_are_counted_in_images_and_corrected() -> None:
    found = compare(predictions(WEAK, TRUTH), predictions(STRONG, TRUTH))
    assert found.classes["images"].tolist() == [60, 30, 20, 10]
    alone = [
        mcnemar_exact(*each) for each in zip(found.classes["gained"], found.classes["lost"], strict=True)
    ]
    least = int(np.argmin(alone))
    assert found.classes["p"][least] == pytest.approx(min(1, 4 * alone[least]))
    sizes = found.moved["size"].tolist()
    assert sizes == sorted(sizes, reverse=True)
    assert 0 not in sizes


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (predictions(WEAK[:, :3], TRUTH % 3, CLASSES[:3]), "only OLD has dog"),
        (predictions(WEAK, TRUTH, [*CLASSES[:3], "eel"]), "only OLD has dog; only NEW has eel"),
        (predictions(WEAK, TRUTH, first=500), "no image in common"),
        (predictions(WEAK, (TRUTH + 1) % 4), "all have other labels"),
    ],
)
def test_what_cannot_be_paired(other: Predictions, message: str) -> None:
    with pytest.raises(UnpairableError, match=message):
        paired(predictions(WEAK, TRUTH), other, samples=100, seed=0)


def test_pictures_under_the_same_name_may_be_others() -> None:
    ids = pd.Series(["a", "b", "c"])
    old, new = (
        pd.DataFrame({"sha256": checksums}, index=pd.Index(["a", "b", "c", "d"]))
        for checksums in (["0", "1", "2", "3"], ["0", "1", "x", "y"])
    )
    assert other_pictures(ids, old, new) == 1
    assert other_pictures(ids, old, old) == 0
