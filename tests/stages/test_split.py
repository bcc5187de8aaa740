"""Every class is in every part, by the seed alone, and one more photo moves hardly any other."""

import json
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pets.dataset import Dataset
from stages import split
from stages.split import stratified


def table(sizes: list[int]) -> pd.DataFrame:
    names = [
        (f"c{label}_{number}", f"c{label}") for label, size in enumerate(sizes) for number in range(size)
    ]
    return pd.DataFrame(names, columns=["image_id", "label"]).assign(same=lambda each: each["image_id"])


sizes = st.lists(st.integers(2, 60), min_size=1, max_size=8)


@settings(max_examples=60, deadline=None)
@given(sizes, st.floats(0.05, 0.5), st.integers(0, 99))
def test_the_same_share_of_every_class(counts: list[int], share: float, seed: int) -> None:
    images = table(counts)
    parts = stratified(images, share, seed, part="val", rest="train")
    held = parts.eq("val").groupby(images["label"]).sum()
    for label, size in enumerate(counts):
        assert held[f"c{label}"] == max(1, round(size * share))


@settings(max_examples=40, deadline=None)
@given(sizes, st.integers(0, 99))
def test_the_order_of_rows_does_not_matter(counts: list[int], seed: int) -> None:
    images = table(counts)
    mixed = images.sample(frac=1, random_state=seed)
    first = stratified(images, 0.2, seed, part="val", rest="train")
    second = stratified(mixed, 0.2, seed, part="val", rest="train")
    assert first.equals(second.sort_index())


@settings(max_examples=40, deadline=None)
@given(sizes, st.integers(0, 99))
def test_one_more_photo_moves_at_most_one(counts: list[int], seed: int) -> None:
    before = table(counts)
    after = pd.concat(
        [before, pd.DataFrame([("new_1", "c0", "new_1")], columns=before.columns)], ignore_index=True
    )
    first = stratified(before, 0.2, seed, part="val", rest="train")
    second = stratified(after, 0.2, seed, part="val", rest="train").iloc[:-1]
    assert (first != second).sum() <= 1


def test_equal_bytes_stay_together() -> None:
    """So that no picture of a label is both learned from and tested on."""
    images = table([40])
    images["same"] = [f"c0_{number // 4}" for number in range(40)]
    for seed in range(5):
        parts = stratified(images, 0.25, seed, part="test", rest="train")
        assert parts.groupby(images["same"]).nunique().eq(1).all()
        assert parts.eq("test").sum() == 12


@pytest.mark.parametrize("official", [(None,), ("train", "test"), ("train", "val"), ("train", "val", "test")])
def test_parts_that_a_source_lacks_are_drawn_from_train(
    official: tuple[str | None, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    content = {
        "run": {"datasets": ["mine"], "backbones": ["efficientnet_lite0"], "heads": ["knn"]},
        "datasets": {"mine": {}},
        "seed": 7,
        "split": {"validation": 0.25, "test": 0.2},
    }
    Path("params.yaml").write_text(json.dumps(content))
    images = table([40, 40]).drop(columns="same")
    images["official_split"] = [official[number % len(official)] for number in range(80)]
    images = images.assign(species=None, status="ok", sha256=images["image_id"])
    Path("data/mine").mkdir(parents=True)
    images.to_parquet("data/mine/catalog.parquet")
    split.main("mine")
    found = Dataset("mine").splits()
    assert list(found.columns) == ["image_id", "label", "species", "split"]
    assert set(found["split"]) == {"train", "val", "test"}
    kept = images["official_split"].isin(["val", "test"])
    assert (found["split"] == images["official_split"])[kept].all()
    train = 80 - kept.sum()
    drawn = found["split"][~kept].value_counts()
    test = 0 if "test" in official else round(0.2 * train)
    val = 0 if "val" in official else round(0.25 * (train - test))
    assert drawn.to_dict() == {
        name: count for name, count in (("train", train - test - val), ("test", test), ("val", val)) if count
    }


def test_the_seed_decides() -> None:
    images = table([50, 50])
    splits = [stratified(images, 0.2, seed, part="val", rest="train") for seed in (0, 0, 1)]
    assert splits[0].equals(splits[1])
    assert not splits[0].equals(splits[2])
