"""A vector is computed once for each picture and recipe, whatever else changes."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.embeddings import store
from stages.errors import UserError

RECIPE = {"backbone": "b", "dimensions": 3, "precision": "float32"}


def images(contents: dict[str, str]) -> pd.DataFrame:
    return pd.DataFrame({"image_id": list(contents), "sha256": list(contents.values())}, dtype=str)


def vector(sha256: str) -> list[float]:
    return [float(ord(each)) for each in sha256.ljust(3)[:3]]


class Computed:
    """Stands in for the network: a vector that its picture's sum determines; notes what was asked for."""

    def __init__(self, batch: int = 2) -> None:
        self.asked: list[str] = []
        self.batch = batch

    def __call__(self, missing: pd.DataFrame) -> Iterator[np.ndarray]:
        sums = list(missing["sha256"])
        self.asked += sums
        for start in range(0, len(sums), self.batch):
            yield np.array([vector(each) for each in sums[start : start + self.batch]], dtype=np.float32)


def update(folder: Path, contents: dict[str, str], recipe: dict[str, object] = RECIPE) -> list[str]:
    computed = Computed()
    store.update(folder, images(contents), recipe, "CPU", "float32", computed)
    return computed.asked


contents = st.dictionaries(st.text("abcdef", min_size=1, max_size=3), st.text("xyz", min_size=1, max_size=2))


@settings(max_examples=60, deadline=None)
@given(before=contents, after=contents)
def test_computes_exactly_what_is_new(before: dict[str, str], after: dict[str, str]) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "store")
        update(folder, before)
        asked = update(folder, after)
        assert sorted(asked) == sorted(set(after.values()) - set(before.values()))
        kept = store.read(folder)
        assert list(kept.index["image_id"]) == list(after)
        for image_id, sha256 in after.items():
            np.testing.assert_array_equal(kept.of([image_id])[0], vector(sha256))


@settings(max_examples=20, deadline=None)
@given(before=contents, after=contents)
def test_the_way_there_leaves_no_trace(before: dict[str, str], after: dict[str, str]) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        grown, fresh = Path(scratch, "grown"), Path(scratch, "fresh")
        update(grown, {**before, **after})
        update(grown, after)
        update(fresh, after)
        for file in ("vectors.npy", "index.parquet"):
            assert (grown / file).read_bytes() == (fresh / file).read_bytes()


def test_another_recipe_makes_everything_anew(tmp_path: Path) -> None:
    pictures = {"one": "x", "two": "y"}
    update(tmp_path / "s", pictures)
    assert update(tmp_path / "s", pictures) == []
    assert update(tmp_path / "s", pictures, {**RECIPE, "precision": "bfloat16"}) == ["x", "y"]


def test_a_failure_leaves_the_old_store(tmp_path: Path) -> None:
    update(tmp_path / "s", {"one": "x"})

    def fails(missing: pd.DataFrame) -> Iterator[np.ndarray]:
        yield np.zeros((1, 3), dtype=np.float32)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.update(tmp_path / "s", images({"one": "y", "two": "z"}), RECIPE, "CPU", "float32", fails)
    assert list(store.read(tmp_path / "s").index["image_id"]) == ["one"]


def test_overflow_is_told(tmp_path: Path) -> None:
    def huge(missing: pd.DataFrame) -> Iterator[np.ndarray]:
        yield np.full((1, 3), 1e6, dtype=np.float32)

    with np.errstate(over="ignore"), pytest.raises(UserError, match=r"embed\.dtype: float32"):
        store.update(tmp_path / "s", images({"one": "x"}), RECIPE, "CPU", "float16", huge)
    assert not (tmp_path / "s").exists()


def test_vectors_are_mapped_not_read(tmp_path: Path) -> None:
    update(tmp_path / "s", {"one": "x"})
    assert isinstance(store.read(tmp_path / "s").vectors, np.memmap)
    with pytest.raises(KeyError):
        store.read(tmp_path / "s").of(["nobody"])
