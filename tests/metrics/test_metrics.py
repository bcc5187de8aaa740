"""The metrics against scikit-learn's, and the weighted form against images that are repeated."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn import metrics as reference

from pets.metrics import metrics


def case(images: int, classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that are informative of the labels; with few images, some classes are absent."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, images)
    scores = generator.normal(0, 1.5, (images, classes))
    scores[np.arange(images), labels] += 1.5
    odds = np.exp(scores)
    return odds / odds.sum(1, keepdims=True), labels


cases = st.builds(case, st.integers(1, 120), st.integers(2, 12), st.integers(0, 10_000))


@settings(max_examples=80, deadline=None)
@given(cases)
def test_agrees_with_scikit_learn(given_case: tuple[np.ndarray, np.ndarray]) -> None:
    probabilities, labels = given_case
    classes = probabilities.shape[1]
    predicted = probabilities.argmax(1)
    ours = metrics.measure(probabilities, labels)
    assert ours["top1"] == pytest.approx(reference.accuracy_score(labels, predicted))
    present = np.unique(labels)
    recall = reference.recall_score(labels, predicted, labels=present, average="macro", zero_division=0)
    assert ours["mean_per_class"] == pytest.approx(recall)
    assert ours["macro_f1"] == pytest.approx(
        reference.f1_score(labels, predicted, average="macro", zero_division=0)
    )
    assert ours["nll"] == pytest.approx(reference.log_loss(labels, probabilities, labels=range(classes)))
    if classes > 5:
        top5 = reference.top_k_accuracy_score(labels, probabilities, k=5, labels=range(classes))
        assert ours["top5"] == pytest.approx(top5)
    else:
        assert "top5" not in ours
    np.testing.assert_array_equal(
        metrics.confusion_matrix(probabilities, labels),
        reference.confusion_matrix(labels, predicted, labels=range(classes)),
    )


@settings(max_examples=40, deadline=None)
@given(cases)
def test_calibration_error_bin_by_bin(given_case: tuple[np.ndarray, np.ndarray]) -> None:
    probabilities, labels = given_case
    confidence, right = probabilities.max(1), probabilities.argmax(1) == labels
    expected = 0.0
    for number in range(15):
        inside = (confidence > number / 15) & (confidence <= (number + 1) / 15)
        if inside.any():
            expected += inside.mean() * abs(confidence[inside].mean() - right[inside].mean())
    assert metrics.measure(probabilities, labels)["ece"] == pytest.approx(expected)
    table = metrics.reliability(probabilities, labels)
    assert table["images"].sum() == len(labels)
    gaps = (table["images"] * (table["confidence"] - table["accuracy"]).abs()).sum() / len(labels)
    assert gaps == pytest.approx(expected)


def test_bins_of_low_confidence_are_separate() -> None:
    """Confidence 0.05, always wrong, and 0.1, always right: gaps of 0.05 and 0.9, not their mean."""
    low, high = np.full(40, 0.95 / 39), np.full(40, 0.9 / 39)
    low[0], high[0] = 0.05, 0.1
    labels = np.array([1, 0])
    assert metrics.measure(np.stack([low, high]), labels)["ece"] == pytest.approx((0.05 + 0.9) / 2)


@settings(max_examples=40, deadline=None)
@given(cases, st.integers(0, 1000))
def test_a_count_of_n_is_an_image_n_times(given_case: tuple[np.ndarray, np.ndarray], seed: int) -> None:
    probabilities, labels = given_case
    sample = np.random.default_rng(seed).integers(0, len(labels), len(labels))
    counts = np.bincount(sample, minlength=len(labels)).astype(float)[None]
    weighted = metrics.weighted(probabilities, labels, counts)
    resampled = metrics.measure(probabilities[sample], labels[sample])
    assert list(weighted) == list(resampled)
    for name, value in resampled.items():
        assert weighted[name][0] == pytest.approx(value), name


def test_wilson_is_scipys() -> None:
    probabilities, labels = case(200, 4, 0)
    table = metrics.per_class(probabilities, labels, list("abcd"))
    for row in table.itertuples():
        hits = round(float(row.accuracy) * int(row.images))  # type: ignore[arg-type]
        expected = binomtest(hits, int(row.images)).proportion_ci(method="wilson")  # type: ignore[arg-type]
        assert (row.low, row.high) == (expected.low, expected.high)


def test_wilson_is_its_formula() -> None:
    hits, n = np.array([0, 1, 7, 20, 20]), np.array([20, 20, 20, 20, 300])
    share, z = hits / n, 1.959963984540054
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    low, high = metrics.wilson(hits, n)
    np.testing.assert_allclose(low, centre - half, atol=1e-12)
    np.testing.assert_allclose(high, centre + half, atol=1e-12)
    assert (low[0], high[3]) == (0, 1)


def test_the_most_confused_come_first() -> None:
    confusion = np.array([[8, 2, 0], [5, 4, 1], [0, 2, 2]])
    table = metrics.confused_pairs(confusion, ["ant", "bee", "cat"], most=3)
    assert table.to_dict("records") == [
        {"actual": "bee", "predicted": "ant", "images": 5, "share": 0.5},
        {"actual": "cat", "predicted": "bee", "images": 2, "share": 0.5},
        {"actual": "ant", "predicted": "bee", "images": 2, "share": 0.2},
    ]


def test_equally_likely_classes_rank_by_their_index() -> None:
    probabilities = np.full((2, 10), 0.1)
    assert metrics.measure(probabilities, np.array([4, 5]))["top5"] == 0.5


def test_a_certain_mistake_is_finite() -> None:
    assert np.isfinite(metrics.measure(np.array([[1.0, 0.0]]), np.array([1]))["nll"])


@pytest.mark.parametrize("labels", [[], [0, 3], [-1, 0], [0]])
def test_impossible_labels(labels: list[int]) -> None:
    rows = 0 if not labels else 2
    with pytest.raises(ValueError, match="labels"):
        metrics.measure(np.full((rows, 3), 1 / 3), np.array(labels, dtype=int))
