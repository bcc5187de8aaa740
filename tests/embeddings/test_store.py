"""A vector is computed once for each image and recipe, as long as the code still makes the same features."""

import hashlib
import signal
import subprocess
import sys
import tempfile
import time
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
from tests.conftest import ROOT

RECIPE = {"backbone": "b", "dimensions": 3, "dtype": "float32", "precision": "float32"}
REFERENCE = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], dtype=np.float32)


def sha256(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()


def images(contents: dict[str, str]) -> pd.DataFrame:
    """Image ids, and the checksums of their contents."""
    return pd.DataFrame(
        {"image_id": list(contents), "sha256": list(map(sha256, contents.values()))}, dtype=str
    )


def many(count: int) -> dict[str, str]:
    return {f"pet_{number}": f"content {number}" for number in range(count)}


def vector(checksum: str) -> list[float]:
    return [float(ord(each)) for each in checksum[:3]]


class Computed:
    """In place of the network: vectors made of the images' checksums; records what was asked for."""

    def __init__(self, batch: int = 2) -> None:
        self.asked: list[str] = []
        self.batch = batch

    def __call__(self, missing: pd.DataFrame) -> Iterator[np.ndarray]:
        sums = list(missing["sha256"])
        for start in range(0, len(sums), self.batch):
            self.asked += sums[start : start + self.batch]
            yield np.array([vector(each) for each in sums[start : start + self.batch]], dtype=np.float32)


def update(
    folder: Path,
    contents: dict[str, str],
    recipe: dict[str, object] = RECIPE,
    device: str = "CPU",
    reference: np.ndarray = REFERENCE,
) -> list[str]:
    """The contents that were computed, in alphabetical order."""
    computed = Computed()
    count, _ = store.update(folder, images(contents), recipe, device, reference, computed)
    assert count == len(computed.asked)
    names = {sha256(each): each for each in contents.values()}
    return sorted(names[each] for each in computed.asked)


def test_what_another_store_has_is_not_computed_again(tmp_path: Path) -> None:
    own, other = tmp_path / "own", tmp_path / "other"
    update(other, {"a": "x", "b": "y"})
    computed = Computed()
    wanted = images({"a": "x", "b": "y", "c": "z"})
    count, stale = store.update(own, wanted, RECIPE, "CPU", REFERENCE, computed, [other, own])
    assert (count, stale, computed.asked) == (1, "", [sha256("z")])
    update(tmp_path / "alone", {"a": "x", "b": "y", "c": "z"})
    assert files(own) == files(tmp_path / "alone")


def test_another_store_of_another_recipe_is_not_used(tmp_path: Path) -> None:
    update(tmp_path / "other", {"a": "x"}, RECIPE | {"precision": "bfloat16"})
    computed = Computed()
    folder = tmp_path / "own"
    count, stale = store.update(
        folder, images({"a": "x"}), RECIPE, "CPU", REFERENCE, computed, [tmp_path / "other"]
    )
    assert (count, stale) == (1, "")


def files(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


contents = st.dictionaries(st.text("abcdef", min_size=1, max_size=3), st.text("xyz", min_size=1, max_size=2))


@settings(max_examples=60, deadline=None)
@given(before=contents, after=contents)
def test_computes_exactly_what_is_new(before: dict[str, str], after: dict[str, str]) -> None:
    with tempfile.TemporaryDirectory() as scratch, pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "ROWS", 2)
        folder = Path(scratch, "store")
        update(folder, before)
        asked = update(folder, after)
        assert asked == sorted(set(after.values()) - set(before.values()))
        kept = store.read(folder)
        assert sorted(kept.index["image_id"]) == sorted(after)
        expected = [vector(sha256(content)) for content in after.values()]
        np.testing.assert_array_equal(kept.vectors_of(after), np.array(expected).reshape(-1, 3))


@settings(max_examples=30, deadline=None)
@given(before=contents, after=contents)
def test_a_store_does_not_depend_on_its_history(before: dict[str, str], after: dict[str, str]) -> None:
    """Grown and shrunk, through other numbers of shards, it has the bytes of one that was made at once."""
    with tempfile.TemporaryDirectory() as scratch, pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "ROWS", 2)
        grown, fresh = Path(scratch, "grown"), Path(scratch, "fresh")
        update(grown, {**before, **after})
        update(grown, after)
        update(fresh, dict(reversed(after.items())))
        assert files(grown) == files(fresh)


def test_one_more_image_changes_one_shard(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    update(folder, many(20 * store.ROWS))
    before = {file.name: file.stat() for file in folder.iterdir()}
    assert update(folder, {**many(20 * store.ROWS), "new": "content"}) == ["content"]
    after = {file.name: file.stat() for file in folder.iterdir()}
    assert before.keys() == after.keys()
    assert len(before) == 2 * 32 + 3
    changed = {name.partition(".")[0] for name in after if after[name].st_ino != before[name].st_ino}
    assert len(changed - {"metadata", "reference", "shards"}) == 1


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


# Makes a store of a thousand shards, slowly; writes each checksum that it computes on a line of its own.
SLOW = """
import sys, time
from pathlib import Path
from pets.embeddings import store
from tests.embeddings.test_store import Computed, RECIPE, REFERENCE, images, many

store.ROWS = 8
def slowly(missing):
    computed = Computed(4)
    for batch in computed(missing):
        print(*computed.asked, sep="\\n", flush=True)
        computed.asked.clear()
        time.sleep(0.002)
        yield batch
store.update(Path(sys.argv[1]), images(many(1000)), RECIPE, "CPU", REFERENCE, slowly)
"""


def test_a_killed_run_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At random moments; at most a shard and a batch are computed again, and the bytes are the same."""
    random = np.random.default_rng(0)
    asked: list[str] = []
    killed = 0
    while True:
        command = [sys.executable, "-c", SLOW, str(tmp_path / "s")]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            first = process.stdout.readline()
            time.sleep(random.uniform(0, 0.3))
            process.send_signal(signal.SIGKILL)
            asked += (first + process.stdout.read()).split()
        if (tmp_path / "s").exists():
            break
        killed += 1
    assert killed >= 3
    assert len(set(asked)) == 1000
    largest = 8 * 4  # of a shard of eight images in the mean
    assert len(asked) - 1000 <= killed * (largest + 4)
    monkeypatch.setattr(store, "ROWS", 8)
    update(tmp_path / "fresh", many(1000))
    assert files(tmp_path / "s") == files(tmp_path / "fresh")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["fresh", "s"]


def test_what_a_killed_run_left_is_not_used_with_another_recipe(tmp_path: Path) -> None:
    def fails(missing: pd.DataFrame) -> Iterator[np.ndarray]:
        yield from list(Computed()(missing))[:-1]
        raise KeyboardInterrupt

    pictures = many(4 * store.ROWS)
    with pytest.raises(KeyboardInterrupt):
        store.update(tmp_path / "s", images(pictures), RECIPE, "CPU", REFERENCE, fails)
    assert len(list((tmp_path / ".s.partial").glob("*.parquet"))) == 3
    assert len(update(tmp_path / "s", pictures, {**RECIPE, "precision": "bfloat16"})) == len(pictures)


def test_what_a_killed_run_left_serves_a_run_of_more_images(tmp_path: Path) -> None:
    """In another number of shards."""

    def fails(missing: pd.DataFrame) -> Iterator[np.ndarray]:
        yield from list(Computed()(missing))[:-1]
        raise KeyboardInterrupt

    few, more = many(4 * store.ROWS), many(9 * store.ROWS)
    with pytest.raises(KeyboardInterrupt):
        store.update(tmp_path / "s", images(few), RECIPE, "CPU", REFERENCE, fails)
    kept = sum(len(pd.read_parquet(file)) for file in (tmp_path / ".s.partial").glob("*.parquet"))
    assert len(update(tmp_path / "s", more)) == len(more) - kept
    expected = [vector(sha256(content)) for content in more.values()]
    np.testing.assert_array_equal(store.read(tmp_path / "s").vectors_of(more), expected)
    update(tmp_path / "fresh", more)
    assert files(tmp_path / "s") == files(tmp_path / "fresh")


def test_a_full_disk_leaves_no_unfinished_file_and_the_run_goes_on(tmp_path: Path) -> None:
    """A limit on the size of files in place of a small disk."""
    script = (
        "import resource, sys; from pathlib import Path; from pets.embeddings import store\n"
        "from tests.embeddings.test_store import *\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))\n"
        "store.update(Path(sys.argv[1]), images(many(100)), RECIPE, 'CPU', REFERENCE, Computed())"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "s"), "700"]
    failed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert failed.returncode == 1
    assert "File too large" in failed.stderr
    assert not list(tmp_path.rglob("*.part"))
    assert not (tmp_path / "s").exists()
    assert len(update(tmp_path / "s", many(100))) == 100
    assert [each.name for each in tmp_path.iterdir()] == ["s"]


@pytest.mark.parametrize("kind", ["npy", "parquet"])
@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: data[:-1] + b"?", lambda data: None])
def test_a_damaged_shard_alone_is_computed_again(
    kind: str, damage: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures = many(4 * store.ROWS)
    update(tmp_path / "s", pictures)
    before = files(tmp_path / "s")
    file = sorted((tmp_path / "s").glob(f"*.{kind}"))[1]
    content = damage(file.read_bytes())  # type: ignore[operator]
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    asked = update(tmp_path / "s", pictures)
    assert store.ROWS / 2 < len(asked) < 2 * store.ROWS
    assert f"shard {file.stem} is damaged; its images are embedded again" in capsys.readouterr().out
    assert files(tmp_path / "s") == before


def test_overflow_is_reported(tmp_path: Path) -> None:
    def huge(missing: pd.DataFrame) -> Iterator[np.ndarray]:
        yield np.full((1, 3), 1e6, dtype=np.float32)

    with np.errstate(over="ignore"), pytest.raises(UserError, match=r"embed\.dtype: float32"):
        store.update(
            tmp_path / "s", images({"one": "x"}), RECIPE | {"dtype": "float16"}, "CPU", REFERENCE, huge
        )
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("count", [0, 2])
def test_another_number_of_vectors_than_images_is_a_defect(count: int, tmp_path: Path) -> None:
    def wrong(missing: pd.DataFrame) -> Iterator[np.ndarray]:
        yield np.zeros((count, 3), dtype=np.float32)

    with pytest.raises(RuntimeError, match="vectors than images"):
        store.update(tmp_path / "s", images({"one": "x"}), RECIPE, "CPU", REFERENCE, wrong)


def test_an_unknown_image_has_no_vector(tmp_path: Path) -> None:
    update(tmp_path / "s", {"one": "x"})
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
