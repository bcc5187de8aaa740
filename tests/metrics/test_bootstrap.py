"""The intervals: reproducible, as scipy computes them, and covering the true value as often as they claim."""

import numpy as np
import pytest
from scipy.stats import binom, bootstrap

from pets.metrics.bootstrap import bootstrap_intervals
from pets.metrics.metrics import measure
from tests.metrics.test_metrics import case


def test_the_seed_decides() -> None:
    probabilities, labels = case(150, 7, 1)
    first = bootstrap_intervals(probabilities, labels, 250, seed=3)
    assert first == bootstrap_intervals(probabilities, labels, 250, seed=3)
    assert first != bootstrap_intervals(probabilities, labels, 250, seed=4)


def test_an_interval_contains_the_value() -> None:
    probabilities, labels = case(400, 7, 2)
    values = measure(probabilities, labels)
    intervals = bootstrap_intervals(probabilities, labels, 500, seed=0)
    assert list(intervals) == list(values)
    for name, (low, high) in intervals.items():
        assert low < high
        if name != "ece":  # resampling increases a calibration error that is near its minimum
            assert low <= values[name] <= high


def test_agrees_with_scipy() -> None:
    probabilities, labels = case(500, 4, 3)
    right = (probabilities.argmax(1) == labels).astype(float)
    theirs = bootstrap((right,), np.mean, n_resamples=4000, method="percentile", rng=0).confidence_interval
    ours = bootstrap_intervals(probabilities, labels, 4000, seed=0)["top1"]
    assert ours == pytest.approx((theirs.low, theirs.high), abs=0.006)


def test_95_percent_of_the_intervals_contain_the_true_value() -> None:
    """300 test sets of 200 images, each image right with probability 0.8."""
    generator = np.random.default_rng(0)
    held = 0
    for _ in range(300):
        labels = np.zeros(200, dtype=int)
        right = generator.random(200) < 0.8
        probabilities = np.where(right[:, None], [0.9, 0.1], [0.1, 0.9])
        low, high = bootstrap_intervals(probabilities, labels, 200, seed=1)["top1"]
        held += low <= 0.8 <= high
    assert 0.90 <= held / 300 <= 0.98


class TestDifference:
    def test_agrees_with_scipy(self) -> None:
        labels = np.random.default_rng(5).integers(0, 4, 500)
        old, new = (case(500, 4, seed)[0] for seed in (7, 8))
        correct = [(each.argmax(1) == labels).astype(float) for each in (old, new)]
        theirs = bootstrap(
            (correct[1] - correct[0],), np.mean, n_resamples=4000, method="percentile", rng=0
        ).confidence_interval
        ours = bootstrap_intervals(new, labels, 4000, seed=0, baseline=old)["top1"]
        assert ours == pytest.approx((theirs.low, theirs.high), abs=0.006)

    def test_every_metric_has_one_of_no_width_where_nothing_differs(self) -> None:
        probabilities, labels = case(120, 7, 1)
        same = bootstrap_intervals(probabilities, labels, 150, seed=0, baseline=probabilities)
        assert list(same) == list(measure(probabilities, labels))
        assert set(same.values()) == {(0.0, 0.0)}
        other = np.roll(probabilities, 1, axis=1)
        first = bootstrap_intervals(other, labels, 150, seed=0, baseline=probabilities)
        assert first == bootstrap_intervals(other, labels, 150, seed=0, baseline=probabilities)
        assert first != bootstrap_intervals(other, labels, 150, seed=1, baseline=probabilities)
        reverse = bootstrap_intervals(probabilities, labels, 150, seed=0, baseline=other)
        assert reverse["top1"] == pytest.approx([-each for each in reversed(first["top1"])])

    @pytest.mark.parametrize("metric", ["top1", "mean_per_class"])
    def test_95_percent_of_the_intervals_contain_the_true_difference(self, metric: str) -> None:
        """300 test sets of 250 images in 3 classes; the old classifier is right on 80% of the images.

        The new one is right on a third of the others and wrong on a tenth of these: the true difference is
        0.2 / 3 - 0.8 / 10.
        """
        generator = np.random.default_rng(2)
        truth, held, trials = 0.2 / 3 - 0.8 / 10, 0, 300
        for _ in range(trials):
            labels = generator.integers(0, 3, 250)
            before = generator.random(250) < 0.8
            after = np.where(before, generator.random(250) >= 0.1, generator.random(250) < 1 / 3)
            old, new = (one_hot(np.where(right, labels, (labels + 1) % 3), 3) for right in (before, after))
            low, high = bootstrap_intervals(new, labels, 300, seed=1, baseline=old)[metric]
            held += low <= truth <= high
        print(f"{metric}: {held} of {trials} intervals contain the true difference")
        assert binom.ppf(0.001, trials, 0.95) <= held <= binom.ppf(0.999, trials, 0.95)


def one_hot(predicted: np.ndarray, classes: int) -> np.ndarray:
    """Probabilities of a classifier that is always certain."""
    return np.eye(classes)[predicted]
