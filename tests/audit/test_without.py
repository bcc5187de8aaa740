"""The metrics without some images are those of the other images, with a paired interval."""

import numpy as np

from pets.audit.without import without
from pets.metrics.metrics import measure


def test_values_are_those_of_the_images_left() -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 3, 200)
    logits = generator.standard_normal((200, 3))
    logits[np.arange(200), labels] += 1
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    left_out = probabilities.argmax(1) != labels
    left_out[np.flatnonzero(left_out)[30:]] = False  # 30 mistakes
    table = without(probabilities, labels, left_out, 400, seed=1).set_index("metric")
    some, every = measure(probabilities[~left_out], labels[~left_out]), measure(probabilities, labels)
    for metric, row in table.iterrows():
        name = str(metric)
        assert row["images"] == 170
        assert row["value"] == some[name]
        assert np.isclose(row["difference"], some[name] - every[name])
        assert row["low"] < row["value"] < row["high"]
        assert row["difference_low"] < row["difference"] < row["difference_high"]
    top1 = table.loc["top1"]
    # Which images are left out is the same in both, so that the change varies less than either score.
    assert top1["difference_high"] - top1["difference_low"] < 0.8 * (top1["high"] - top1["low"])
    none_left = without(probabilities, labels, np.ones(200, bool), 50, seed=1)
    assert none_left[["value", "low", "high", "difference"]].isna().all(axis=None)
    one_left = without(probabilities, labels, np.arange(200) > 0, 50, seed=1)
    assert one_left.notna().all(axis=None)
    nothing = without(probabilities, labels, np.zeros(200, bool), 50, seed=1)
    np.testing.assert_allclose(nothing[["difference", "difference_low", "difference_high"]], 0, atol=1e-12)
