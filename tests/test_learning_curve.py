"""Learning curves against scikit-learn, and which images a draw takes."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.neighbors import KNeighborsClassifier

from pets import heads
from pets.heads import Examples
from pets.learning_curve import learning_curve, subsets

COUNTS = (3, 8, 12)  # training images of each class
SIZES = [1, 2, 5, 10, 20]
DRAWS = 4


def examples(counts: tuple[int, ...], seed: int, noise: float = 0.7) -> Examples:
    """Noisy directions, one for each class."""
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(counts)), counts)
    features = np.eye(len(counts), 16)[labels] + noise * random.normal(size=(len(labels), 16))
    return Examples(torch.tensor(features, dtype=torch.float32), torch.tensor(labels))


TRAIN, VALIDATION, TEST = examples(COUNTS, 0), examples((5, 5, 5), 1), examples((60, 60, 60), 2)


def curve_of(head: str, seed: int = 7, **settings: Any) -> pd.DataFrame:
    module = heads.load(head)
    return learning_curve(
        module, TRAIN, VALIDATION, TEST, len(COUNTS), module.Settings(**settings), SIZES, DRAWS, seed
    )


def test_one_neighbour_is_scikit_learns_on_the_same_images() -> None:
    curve = curve_of("knn", neighbours=[1])
    drawn = list(subsets(TRAIN.labels.numpy(), [1, 2, 5], DRAWS, seed=7))
    assert len(curve) == len(drawn) == 3 * DRAWS + 1
    for (_, row), (size, draw, chosen) in zip(curve.iterrows(), drawn, strict=True):
        model = KNeighborsClassifier(1, metric="cosine").fit(TRAIN.features[chosen], TRAIN.labels[chosen])
        predicted = model.predict(TEST.features)
        assert (row["images_per_class"], row["draw"], row["images"]) == (size, draw, len(chosen))
        assert row["top1"] == pytest.approx((predicted == TEST.labels.numpy()).mean(), abs=0.006)


SETTINGS: dict[str, dict[str, Any]] = {
    "linear": {"penalties": [1e-3, 1e-1]},
    "prototype": {"centred": [False, True]},
    "mlp": {
        "hidden": [16], "learning_rate": 0.01, "weight_decay": 0.01, "dropout": 0.1, "batch_size": 8,
        "max_epochs": 60,
    },
}  # fmt: skip


@pytest.mark.parametrize("head", SETTINGS)
def test_more_images_help(head: str) -> None:
    settings = SETTINGS[head]
    curve = curve_of(head, **settings)
    means = curve.groupby("images_per_class")["top1"].mean()
    assert means.iloc[-1] > means.iloc[0] > 1 / 3  # chance
    assert list(means.index) == [1, 2, 5, pytest.approx(sum(COUNTS) / 3)]
    assert curve.iloc[-1]["images"] == sum(COUNTS)
    np.testing.assert_array_equal(curve, curve_of(head, **settings))
    assert not np.array_equal(curve["top1"], curve_of(head, seed=8, **settings)["top1"])


def test_a_size_with_fewer_images_than_neighbours_has_no_rows() -> None:
    curve = curve_of("knn", neighbours=[5])
    assert curve["images_per_class"].min() == 2  # six images; with one of each class there are three


@given(
    st.lists(st.integers(1, 9), min_size=2, max_size=5),
    st.sets(st.integers(1, 8), min_size=1),
    st.integers(0, 99),
)
def test_a_draw_takes_as_many_of_each_class_and_keeps_them(
    counts: list[int], sizes: set[int], seed: int
) -> None:
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    before: dict[int, set[int]] = {}
    *drawn, (_, _, everything) = subsets(labels, sorted(sizes), 3, seed)
    for size, draw, chosen in drawn:
        taken = np.bincount(labels[chosen], minlength=len(counts))
        assert list(taken) == [min(size, count) for count in counts]
        assert before.get(draw, set()) <= set(chosen.tolist())
        before[draw] = set(chosen.tolist())
    assert len(everything) == len(labels)
