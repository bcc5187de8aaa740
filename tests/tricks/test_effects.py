"""How often two equal recipes are called different, and that an interval and Holm's p never disagree."""

import gc

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from pets.heads import Examples
from pets.tricks.effects import Difference, effects, paired_difference
from pets.tricks.recipe import Recipe
from pets.tricks.training import Data, Plan, Variant, train

TRIES, SEEDS, IMAGES = 400, 5, 150
COMPARISONS = 4  # of one table


def called_different(tables: list[list[tuple[np.ndarray, np.ndarray]]]) -> float:
    """The share of tables in which any interval leaves out zero."""
    gc.freeze()  # statsmodels collects garbage at each call, which beside PyTorch takes a tenth of a second
    found = [effects([paired_difference(*pair) for pair in table]) for table in tables]
    return float(np.mean([any(each.low > 0 or each.high < 0 for each in table) for table in found]))


def test_equal_recipes_trained_again_are_called_different_in_at_most_5_percent() -> None:
    """Real trainings: the same recipe under other seeds, each table on other images."""
    random = np.random.default_rng(3)

    def examples(images: int) -> Examples:
        labels = random.integers(3, size=images)
        features = 1.2 * np.eye(3, 5)[labels] + random.normal(size=(images, 5))
        return Examples(torch.tensor(features, dtype=torch.float32), torch.tensor(labels))

    data = Data(examples(24), examples(10), examples(4000), 3)
    plan = Plan(epochs=2, batch_size=6, hidden=4, seed=7)
    runs = TRIES * SEEDS * 2
    (outcome,) = train([Variant(Recipe("mlp"), 0.3)], range(runs), data, plan, test=True)
    assert outcome.accuracy.double().std() > 0.02  # retraining matters
    correct = outcome.correct.numpy().reshape(TRIES, 2, SEEDS, -1)
    tables = []
    for pair in correct:
        seen = random.choice(pair.shape[-1], IMAGES, replace=False)
        tables.append([(pair[0][:, seen], pair[1][:, seen])])
    assert called_different(tables) <= 0.05


@pytest.mark.parametrize(("of_seeds", "of_images"), [(0.0, 0.3), (0.05, 0.1), (0.05, 0.0)])
def test_equal_accuracies_are_called_different_in_at_most_5_percent_of_tables(
    of_seeds: float, of_images: float
) -> None:
    """Recipes that are right on other images, and as often over all: drawn, with noise of both kinds."""
    random = np.random.default_rng(5)

    def drawn(easy: np.ndarray) -> np.ndarray:
        shares = easy + of_images * random.uniform(-1, 1, size=IMAGES)
        shifts = of_seeds * random.normal(size=(20, 1))
        return random.random((20, IMAGES)) < np.clip(shares + shifts, 0, 1)

    tables = []
    for _ in range(TRIES):
        easy = random.uniform(0.35, 0.65, size=IMAGES)
        plain = drawn(easy)
        tables.append([(drawn(easy), plain) for _ in range(COMPARISONS)])
    assert called_different(tables) <= 0.05


def test_a_true_difference_is_found() -> None:
    random = np.random.default_rng(7)
    one, other = random.random((20, 1000)) < 0.83, random.random((20, 1000)) < 0.80
    (found,) = effects([paired_difference(one, other)])
    assert found.low > 0
    assert found.mean == pytest.approx(0.03, abs=0.01)


def test_with_one_kind_of_noise_it_is_the_t_test_over_seeds_or_images() -> None:
    random = np.random.default_rng(1)
    of_seeds = np.repeat(random.integers(-1, 2, size=(12, 1)), 50, axis=1)
    of_images = np.repeat(random.integers(-1, 2, size=(1, 60)), 9, axis=0)
    for differences, axis in ((of_seeds, 1), (of_images, 0)):
        zero = np.zeros_like(differences)
        found = paired_difference(differences, zero)
        expected = stats.ttest_1samp(differences.mean(axis), 0)
        assert found.p == pytest.approx(expected.pvalue)
        assert found.interval(0.05) == pytest.approx(tuple(expected.confidence_interval()))


def test_runs_that_are_the_same_have_no_effect() -> None:
    same = np.random.default_rng(0).random((3, 10)) < 0.5
    (found,) = effects([paired_difference(same, same)])
    assert (found.mean, found.low, found.high, found.p) == (0, 0, 0, 1)


@given(st.lists(st.tuples(st.floats(-6, 6), st.floats(0.1, 3), st.floats(1, 40)), min_size=1, max_size=12))
def test_an_interval_leaves_out_zero_exactly_where_holm_rejects(
    drawn: list[tuple[float, float, float]],
) -> None:
    differences = [Difference(*each) for each in drawn]
    found = effects(differences)
    rejected, corrected, *_ = multipletests([each.p for each in differences], alpha=0.05, method="holm")
    for each, expected, p in zip(found, rejected, corrected, strict=True):
        assert (each.low > 0 or each.high < 0) == expected
        assert each.p == pytest.approx(p)
        assert each.low <= each.mean <= each.high
