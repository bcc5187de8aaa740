"""AUROC against scikit-learn, and its intervals."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from pets.metrics.auroc import auroc, auroc_interval, mean_interval

SCORES = st.lists(st.integers(0, 6), min_size=1, max_size=40)  # few values, so that many are equal


@given(low=SCORES, high=SCORES)
def test_equals_scikit_learns(low: list[int], high: list[int]) -> None:
    labels = [0] * len(low) + [1] * len(high)
    assert auroc(np.array(low), np.array(high)) == pytest.approx(roc_auc_score(labels, low + high))


def test_the_interval_holds_the_truth_nineteen_times_in_twenty() -> None:
    """Two normal distributions one standard deviation apart have an AUROC of 0.7602."""
    random = np.random.default_rng(0)
    held = 0
    for trial in range(200):
        low, high = auroc_interval(random.normal(0, 1, 60), random.normal(1, 1, 60), 200, seed=trial)
        held += low <= 0.7602 <= high
    assert 0.89 <= held / 200 <= 0.98


def test_the_interval_of_a_mean_is_near_the_normal_one() -> None:
    values = np.random.default_rng(0).normal(size=400)
    error = 1.96 * values.std() / 20
    low, high = mean_interval(values, 2000, seed=0)
    assert (low, high) == pytest.approx((values.mean() - error, values.mean() + error), abs=0.015)
