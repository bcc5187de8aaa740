"""The paired tests against scipy and statsmodels, and the interval holding the truth as often as it says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, binomtest, bootstrap
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from stages.scores.metrics import headline
from stages.scores.paired import holm, mcnemar_exact, paired_bootstrap, swap_test
from tests.scores.test_metrics import case

counts = st.integers(0, 60)


def one_hot(guesses: np.ndarray, classes: int) -> np.ndarray:
    """Probabilities of someone who is always sure."""
    return np.eye(classes)[guesses]


@given(counts, counts, counts, counts)
def test_mcnemar_is_statsmodels(both: int, gained: int, lost: int, neither: int) -> None:
    expected = mcnemar([[both, lost], [gained, neither]], exact=True).pvalue if gained + lost else 1.0
    assert mcnemar_exact(gained, lost) == pytest.approx(expected)
    assert mcnemar_exact(lost, gained) == mcnemar_exact(gained, lost)


@given(counts, st.integers(1, 60))
def test_mcnemar_is_scipys_binomial_test(gained: int, lost: int) -> None:
    assert mcnemar_exact(gained, lost) == pytest.approx(binomtest(gained, gained + lost, 0.5).pvalue)


def test_mcnemar_by_hand() -> None:
    assert mcnemar_exact(0, 5) == pytest.approx(2 / 2**5)
    assert mcnemar_exact(3, 3) == 1.0
    assert mcnemar_exact(0, 0) == 1.0


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_holm_is_statsmodels(p_values: list[float]) -> None:
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1])


def test_holm_keeps_the_order_and_takes_none() -> None:
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([]) == []


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 11), st.integers(0, 11))
def test_swapping_equal_images_is_mcnemar(gained: int, lost: int) -> None:
    """With few images all ways are tried, so that both are exact."""
    differences = np.array([1.0] * gained + [-1.0] * lost + [0.0] * 7)
    samples = 2 ** (gained + lost) if gained + lost <= 12 else 200_000
    p = swap_test(differences, samples, seed=0)
    assert p == pytest.approx(mcnemar_exact(gained, lost), abs=0 if samples < 200_000 else 0.01)


def test_a_single_image_proves_nothing() -> None:
    assert swap_test(np.array([0.0, 0.3, 0.0]), 999, seed=0) == 1.0
    assert swap_test(np.zeros(5), 999, seed=0) == 1.0


def test_swapping_at_random_agrees_with_all_ways() -> None:
    differences = np.random.default_rng(4).normal(0.25, 1, 15)
    exact, sampled = (swap_test(differences, samples, seed=1) for samples in (2**15, 9999))
    assert 0.1 < exact < 0.9
    assert sampled == pytest.approx(exact, abs=0.02)
    assert swap_test(differences, 9999, seed=1) == sampled  # the seed decides


def test_swapping_finds_what_chance_does_not_do() -> None:
    generator = np.random.default_rng(0)
    assert swap_test(generator.normal(0.3, 1, 400), 999, seed=0) == pytest.approx(2 / 1000)
    alone = [swap_test(generator.normal(0, 1, 60), 499, seed=0) for _ in range(400)]
    found = sum(p < 0.05 for p in alone)
    assert binom.ppf(0.001, 400, 0.05) <= found <= binom.ppf(0.999, 400, 0.05)


def test_the_bootstrap_is_scipys() -> None:
    generator = np.random.default_rng(5)
    labels = generator.integers(0, 4, 500)
    old, new = (case(500, 4, seed)[0] for seed in (7, 8))
    right = [(each.argmax(1) == labels).astype(float) for each in (old, new)]
    theirs = bootstrap(
        (right[1] - right[0],), np.mean, n_resamples=4000, method="percentile", rng=0
    ).confidence_interval
    ours = paired_bootstrap(old, new, labels, 4000, seed=0)["top1"]
    assert ours == pytest.approx((theirs.low, theirs.high), abs=0.006)


def test_the_bootstrap_has_every_metric_and_no_width_where_nothing_differs() -> None:
    probabilities, labels = case(120, 7, 1)
    same = paired_bootstrap(probabilities, probabilities, labels, 150, seed=0)
    assert list(same) == list(headline(probabilities, labels))
    assert set(same.values()) == {(0.0, 0.0)}
    other = np.roll(probabilities, 1, axis=1)
    first = paired_bootstrap(probabilities, other, labels, 150, seed=0)
    assert first == paired_bootstrap(probabilities, other, labels, 150, seed=0)
    assert first != paired_bootstrap(probabilities, other, labels, 150, seed=1)
    turned = paired_bootstrap(other, probabilities, labels, 150, seed=0)
    assert turned["top1"] == pytest.approx([-each for each in reversed(first["top1"])])


@pytest.mark.parametrize("metric", ["top1", "mean_per_class_accuracy"])
def test_holds_the_truth_as_often_as_it_says(metric: str) -> None:
    """300 test sets of 250 images in 3 classes; the old one is right on 80% of the images.

    The new one mends a third of the others and spoils a tenth of these: the true difference is
    0.2 / 3 - 0.8 / 10.
    """
    generator = np.random.default_rng(2)
    truth, held, trials = 0.2 / 3 - 0.8 / 10, 0, 300
    for _ in range(trials):
        labels = generator.integers(0, 3, 250)
        before = generator.random(250) < 0.8
        after = np.where(before, generator.random(250) >= 0.1, generator.random(250) < 1 / 3)
        old, new = (one_hot(np.where(right, labels, (labels + 1) % 3), 3) for right in (before, after))
        low, high = paired_bootstrap(old, new, labels, 300, seed=1)[metric]
        held += low <= truth <= high
    print(f"{metric}: {held} of {trials} intervals hold the true difference")
    assert binom.ppf(0.001, trials, 0.95) <= held <= binom.ppf(0.999, trials, 0.95)
