"""The paired tests against scipy and statsmodels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, binomtest
from statsmodels.stats.contingency_tables import mcnemar

from pets.metrics.bootstrap import bootstrap_intervals
from pets.metrics.paired import difference_interval, holm, mcnemar_exact, swap_test

counts = st.integers(0, 60)


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
def test_holm_by_its_definition(p_values: list[float]) -> None:
    ordered = sorted(p_values)
    m = len(ordered)
    expected = {p: min(1, max((m - j) * q for j, q in enumerate(ordered) if q <= p)) for p in ordered}
    assert holm(p_values) == pytest.approx([expected[p] for p in p_values])


def test_holm_keeps_the_order_and_accepts_an_empty_list() -> None:
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([]) == []


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 11), st.integers(0, 11))
def test_swapping_equal_images_is_mcnemar(gained: int, lost: int) -> None:
    """With few images all ways of swapping are tried, so that both are exact."""
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


def test_swapping_finds_a_real_difference_and_only_5_percent_by_chance() -> None:
    generator = np.random.default_rng(0)
    assert swap_test(generator.normal(0.3, 1, 400), 999, seed=0) == pytest.approx(2 / 1000)
    alone = [swap_test(generator.normal(0, 1, 60), 499, seed=0) for _ in range(400)]
    found = sum(p < 0.05 for p in alone)
    assert binom.ppf(0.001, 400, 0.05) <= found <= binom.ppf(0.999, 400, 0.05)


def test_the_interval_of_a_difference_covers_it_in_95_percent() -> None:
    """Of 2,000 drawn test sets of 200 images, of which the new one gains 12% and loses 5%."""
    drawn = np.random.default_rng(5).multinomial(200, [0.12, 0.05, 0.83], size=2000)
    intervals = [difference_interval(int(gained), int(lost), 200) for gained, lost, _ in drawn]
    covered = sum(low <= 0.07 <= high for low, high in intervals)
    assert 0.935 <= covered / 2000 <= 0.97


@given(counts, counts, counts)
def test_the_interval_contains_the_difference_and_is_symmetric(gained: int, lost: int, same: int) -> None:
    images = gained + lost + same + 1
    low, high = difference_interval(gained, lost, images)
    assert -1 <= low <= (gained - lost) / images <= high <= 1
    assert difference_interval(lost, gained, images) == pytest.approx((-high, -low))


def test_the_interval_agrees_with_the_bootstrap() -> None:
    labels = np.zeros(400, np.int64)
    before, after = (np.tile([0.4, 0.6], (400, 1)) for _ in range(2))
    before[:340], after[:300], after[340:390] = ([0.6, 0.4],) * 3  # 40 lost, 50 gained
    expected = bootstrap_intervals(after, labels, 4000, 0, baseline=before)["top1"]
    assert difference_interval(50, 40, 400) == pytest.approx(expected, abs=0.004)
