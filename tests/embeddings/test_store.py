"""A vector is computed once for each image and recipe, as long as the code still makes the same features."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pets.core.errors import UserError
from pets.embeddings import store
from pets.embeddings.reference import write_pictures
from pets.images.decoding import decode

RECIPE = {"backbone": "b", "dimensions": 3, "dtype": "float32", "precision": "float32"}
REFERENCE = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], dtype=np.float32)


def images(contents: dict[str, str]) -> pd.DataFrame:
    return pd.DataFrame({"image_id": list(contents), "sha256": list(contents.values())}, dtype=str)


def vector(sha256: str) -> list[float]:
    return [float(ord(each)) for each in sha256.ljust(3)[:3]]


class Computed:
    """In place of the network: vectors made of the images' checksums; records what was asked for."""

    def __init__(self, batch: int = 2) -> None:
        self.asked: list[str] = []
        self.batch = batch

    def __call__(self, missing: pd.DataFrame) -> Iterator[np.ndarray]:
        sums = list(missing["sha256"])
        self.asked += sums
        for start in range(0, len(sums), self.batch):
            yield np.array([vector(each) for each in sums[start : start + self.batch]], dtype=np.float32)


def update(
    folder: Path,
    contents: dict[str, str],
    recipe: dict[str, object] = RECIPE,
    device: str = "CPU",
    reference: np.ndarray = REFERENCE,
) -> list[str]:
    computed = Computed()
    count, _ = store.update(folder, images(contents), recipe, device, reference, computed)
    assert count == len(computed.asked)
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
            np.testing.assert_array_equal(kept.vectors_of([image_id])[0], vector(sha256))


@settings(max_examples=20, deadline=None)
@given(before=contents, after=contents)
def test_a_store_does_not_depend_on_its_history(before: dict[str, str], after: dict[str, str]) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        grown, fresh = Path(scratch, "grown"), Path(scratch, "fresh")
        update(grown, {**before, **after})
        update(grown, after)
        update(fresh, after)
        for file in ("vectors.npy", "index.parquet", "metadata.json", "reference.npy"):
            assert (grown / file).read_bytes() == (fresh / file).read_bytes()


def test_another_recipe_computes_everything_again(tmp_path: Path) -> None:
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
        store.update(tmp_path / "s", images({"one": "y", "two": "z"}), RECIPE, "CPU", REFERENCE, fails)
    assert list(store.read(tmp_path / "s").index["image_id"]) == ["one"]


def test_overflow_is_reported(tmp_path: Path) -> None:
    def huge(missing: pd.DataFrame) -> Iterator[np.ndarray]:
        yield np.full((1, 3), 1e6, dtype=np.float32)

    with np.errstate(over="ignore"), pytest.raises(UserError, match=r"embed\.dtype: float32"):
        store.update(
            tmp_path / "s", images({"one": "x"}), RECIPE | {"dtype": "float16"}, "CPU", REFERENCE, huge
        )
    assert not (tmp_path / "s").exists()


def test_vectors_are_mapped_not_read(tmp_path: Path) -> None:
    update(tmp_path / "s", {"one": "x"})
    assert isinstance(store.read(tmp_path / "s").vectors, np.memmap)
    with pytest.raises(KeyError):
        store.read(tmp_path / "s").vectors_of(["nobody"])


def test_other_features_of_the_fixed_pictures_compute_everything_again(tmp_path: Path) -> None:
    pictures = {"one": "x", "two": "y"}
    update(tmp_path / "s", pictures)
    assert update(tmp_path / "s", {**pictures, "three": "z"}) == ["z"]
    changed = REFERENCE * np.float32(1.002)
    count, stale = store.update(tmp_path / "s", images(pictures), RECIPE, "CPU", changed, Computed())
    assert count == 2
    assert stale == "the features of fixed pictures differ by 0.2% from those by the code that made them"
    assert update(tmp_path / "s", pictures, reference=changed) == []


def test_another_device_may_round_otherwise_but_no_more(tmp_path: Path) -> None:
    update(tmp_path / "s", {"one": "x"})
    rounded = REFERENCE * np.float32(1.01)
    assert update(tmp_path / "s", {"one": "x", "two": "y"}, device="GPU", reference=rounded) == ["y"]
    assert store.read(tmp_path / "s").metadata["devices"] == ["CPU", "GPU"]
    # Each device is compared with itself from then on.
    pictures = {"one": "x", "two": "y", "three": "z"}
    assert update(tmp_path / "s", pictures, device="GPU", reference=rounded) == ["z"]
    assert update(tmp_path / "s", pictures) == []
    assert update(tmp_path / "s", pictures, device="GPU", reference=rounded * np.float32(1.002)) == [
        "x",
        "y",
        "z",
    ]
    assert update(tmp_path / "s", pictures, device="other", reference=rounded * np.float32(1.1)) == [
        "x",
        "y",
        "z",
    ]


def test_the_fixed_pictures_exercise_every_part_of_the_pixel_path() -> None:
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        files, again = write_pictures(Path(first)), write_pictures(Path(second))
        assert [file.read_bytes() for file in files] == [file.read_bytes() for file in again]
        decoded = [decode(file.read_bytes()) for file in files]
    assert {each.mode for each in decoded} == {"RGB", "L", "RGBA", "P", "I;16", "CMYK"}
    heights, widths = zip(*(each.pixels.shape[:2] for each in decoded), strict=True)
    assert min(heights) < 224 < 288 < max(heights)  # scaled up and down by every backbone
    assert any(h > w for h, w in zip(heights, widths, strict=True))
    assert any(h < w for h, w in zip(heights, widths, strict=True))
