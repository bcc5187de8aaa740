"""The intervals: reproducible, as scipy has them, and holding the truth as often as they say."""

import numpy as np
import pytest
from scipy.stats import bootstrap

from stages.scores.intervals import bootstrap_intervals
from stages.scores.metrics import headline
from tests.scores.test_metrics import case


def test_the_seed_decides() -> None:
    probabilities, labels = case(150, 7, 1)
    first = bootstrap_intervals(probabilities, labels, 250, seed=3)
    assert first == bootstrap_intervals(probabilities, labels, 250, seed=3)
    assert first != bootstrap_intervals(probabilities, labels, 250, seed=4)


def test_holds_the_value() -> None:
    probabilities, labels = case(400, 7, 2)
    values = headline(probabilities, labels)
    intervals = bootstrap_intervals(probabilities, labels, 500, seed=0)
    assert list(intervals) == list(values)
    for name, (low, high) in intervals.items():
        assert low < high
        if name != "ece":  # resampling can only add to a calibration error near its least
            assert low <= values[name] <= high


def test_agrees_with_scipy() -> None:
    probabilities, labels = case(500, 4, 3)
    right = (probabilities.argmax(1) == labels).astype(float)
    theirs = bootstrap((right,), np.mean, n_resamples=4000, method="percentile", rng=0).confidence_interval
    ours = bootstrap_intervals(probabilities, labels, 4000, seed=0)["top1"]
    assert ours == pytest.approx((theirs.low, theirs.high), abs=0.006)


def test_holds_the_truth_as_often_as_it_says() -> None:
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
