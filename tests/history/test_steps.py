"""Whether steps are more than chance: beside a reference, and over histories in which nothing changed."""

import gc
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from pets.comparison.verdicts import CHANCE, WORSE
from pets.history import steps as stepping
from pets.history.outcomes import Outcomes
from pets.history.randomization import SWAPS, swap_tests
from pets.history.steps import Difference, UnpairableError, difference
from pets.metrics.paired import mcnemar_exact, swap_test

FAR = (-np.inf, np.inf)
LABELS = np.repeat(list("abcd"), [120, 60, 40, 20])
IMAGES = pd.DataFrame({"image_id": [f"image {i}" for i in range(len(LABELS))], "label": LABELS})


def outcomes(random: np.random.Generator, hardness: np.ndarray, noise: float, worse: float = 0) -> Outcomes:
    """A model of a history: images keep their hardness, and each fit adds its own noise."""
    score = 1.2 + 2 * hardness + noise * random.normal(size=len(hardness)) - worse
    return Outcomes(IMAGES, tuple("abcd"), score > 0, np.log1p(np.exp(-score)))


def null_history(random: np.random.Generator, commits: int) -> list[Difference]:
    """Steps between fits that differ by chance alone."""
    hardness = random.normal(size=len(IMAGES))
    fits = [outcomes(random, hardness, 0.5) for _ in range(commits)]
    return [difference(old, new, FAR) for old, new in pairwise(fits)]


def false_marks(histories: int, commits: int, seed: int) -> float:
    """The share of null histories with any test beyond chance."""
    random = np.random.default_rng(seed)
    found = 0
    for number in range(histories):
        steps, _ = stepping.tested(null_history(random, commits), seed=number)
        found += any(step.beyond_chance for step in steps)
    return found / histories


def test_of_histories_without_a_change_at_most_one_in_twenty_shows_any() -> None:
    """200 of 30 commits each. Without the correction nearly all of them would."""
    gc.freeze()  # statsmodels collects garbage at each call
    assert false_marks(200, 30, seed=5) <= 0.05


def test_a_change_among_noise_is_found_and_nothing_else() -> None:
    random = np.random.default_rng(1)
    hardness = random.normal(size=len(IMAGES))
    fits = [outcomes(random, hardness, 0.5, worse=0.8 * (10 <= i < 20)) for i in range(30)]
    steps, counted = stepping.tested([difference(old, new, FAR) for old, new in pairwise(fits)], 0)
    assert [i for i, step in enumerate(steps) if step.real] == [9, 19]
    assert counted == 29 * 3
    assert steps[9].real[0].verdict == WORSE


def test_swap_tests_agree_with_the_reference() -> None:
    random = np.random.default_rng(3)
    rows = [random.normal(size=n) + shift for n in (8, 60, 200) for shift in (0, 0.15, 0.3)]
    found = swap_tests(rows, seed=1)
    for p, row in zip(found, rows, strict=True):
        reference = swap_test(row, 9_999, seed=2)
        assert p == pytest.approx(reference, abs=4 * np.sqrt(reference / SWAPS) + 1e-3)


def test_a_p_value_survives_the_correction_for_thousands_of_tests() -> None:
    random = np.random.default_rng(4)
    rows = [random.normal(size=40) for _ in range(2000)]
    rows[7] = np.full(40, 1.0)
    found = swap_tests(rows, seed=1)
    assert 2000 * found[7] < 0.05
    assert np.mean(found < 0.05) == pytest.approx(0.05, abs=0.02)


def test_whole_numbers_are_as_mcnemar_has_them() -> None:
    row = np.array([1.0] * 14 + [-1.0] * 4)
    [p] = swap_tests([row], seed=0)
    assert p == pytest.approx(mcnemar_exact(14, 4), abs=0.006)


def test_tests_that_cannot_be_significant_do_not_count() -> None:
    random = np.random.default_rng(2)
    old = outcomes(random, random.normal(size=len(IMAGES)), 0)
    flipped = old.correct.copy()
    flipped[:5] = ~flipped[:5]
    few = difference(old, Outcomes(IMAGES, old.classes, flipped, old.nll), FAR)
    same = difference(old, old, FAR)
    steps, counted = stepping.tested([few, same], seed=0)
    assert counted == 0
    assert [len(step.tests) for step in steps] == [3, 0]
    assert {test.verdict for test in steps[0].tests} == {CHANCE}


def test_nll_marks_only_what_leaves_the_interval() -> None:
    random = np.random.default_rng(2)
    old = outcomes(random, random.normal(size=len(IMAGES)), 0)
    new = Outcomes(IMAGES, old.classes, old.correct, old.nll + 0.01)
    for margins, marks in (((-0.02, 0.02), 0), ((-0.02, 0.005), 1)):
        [step], _ = stepping.tested([difference(old, new, margins)], seed=0)
        assert [test.verdict for test in step.beyond_chance] == [WORSE]
        assert len(step.real) == marks


def test_images_are_paired_by_name_and_label() -> None:
    random = np.random.default_rng(6)
    old = outcomes(random, random.normal(size=len(IMAGES)), 0)
    moved = IMAGES.iloc[::-1].reset_index(drop=True)
    moved.loc[0, "label"] = "a"
    moved.loc[1, "image_id"] = "another"
    new = Outcomes(moved, old.classes, old.correct[::-1], old.nll[::-1])
    found = difference(old, new, FAR)
    assert (found.step.images, found.step.gained, found.step.lost) == (len(IMAGES) - 2, 0, 0)
    with pytest.raises(UnpairableError, match="classes differ"):
        difference(old, Outcomes(IMAGES, ("a", "b"), old.correct, old.nll), FAR)
