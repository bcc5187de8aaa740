"""The published data sets have the rows that torchvision's own classes read from the same files."""

from pathlib import Path
from typing import Any

import pytest
from torchvision import datasets

from pets import sources
from pets.sources.flowers102 import FLOWERS
from tests.sources.layouts import settings

# By source: torchvision's class, where below its root the raw folder is, and its splits.
CLASSES: dict[str, tuple[Any, str, tuple[str, ...]]] = {
    "flowers102": (datasets.Flowers102, "flowers-102", ("train", "val", "test")),
    "dtd": (datasets.DTD, "dtd", ("train", "val", "test")),
    "eurosat": (datasets.EuroSAT, "eurosat", ()),
    "food101": (datasets.Food101, "", ("train", "test")),
    "fgvc-aircraft": (datasets.FGVCAircraft, "", ("train", "val", "test")),
}


@pytest.mark.parametrize("name", CLASSES)
def test_rows_equal_torchvisions(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kind, place, splits = CLASSES[name]
    source, raw = sources.load(name), tmp_path / "root" / place
    raw.mkdir(parents=True)
    source.fetch(settings(name, tmp_path), raw, tmp_path)
    if name == "flowers102":  # the lists' official md5s
        files = {key: (file, None) for key, (file, _) in kind._file_dict.items()}
        monkeypatch.setattr(kind, "_file_dict", files)
    expected = set()
    for split in splits or (None,):
        read = kind(tmp_path / "root", **({"split": split} if split else {}))
        rows = read.samples if split is None else zip(read._image_files, read._labels, strict=True)
        expected |= {(Path(file), read.classes[label], split) for file, label in rows}
    found = list(source.pictures(raw))
    assert {(raw / each.path, each.label, each.split) for each in found} == expected
    assert len(found) == len(expected)


@pytest.mark.parametrize("name", CLASSES)
def test_official_archives_are_torchvisions(name: str) -> None:
    kind, *_ = CLASSES[name]
    defaults = sources.load(name).Settings.model_validate({"source": name})
    if name == "flowers102":
        official = {kind._download_url_prefix + file: md5 for file, md5 in kind._file_dict.values()}
        assert {each.url: each.md5 for _, each in list(defaults)[1:]} == official
        assert datasets.Flowers102.classes == FLOWERS
    elif name != "eurosat":  # whose address is inside a method
        assert defaults.archive.url == kind._URL  # type: ignore[attr-defined]
        assert defaults.archive.md5 == getattr(kind, "_MD5", defaults.archive.md5)  # type: ignore[attr-defined]


def test_stanford_dogs(tmp_path: Path) -> None:
    """Which torchvision doesn't have: made from ImageNet, and all of them dogs."""
    source, raw = sources.load("stanford-dogs"), tmp_path / "raw"
    raw.mkdir()
    source.fetch(settings("stanford-dogs", tmp_path), raw, tmp_path)
    assert source.FROM_IMAGENET
    assert [(each.image_id, each.label, each.species, each.split) for each in source.pictures(raw)] == [
        ("n02085620-Chihuahua/n02085620_7.jpg", "Chihuahua", "dog", "train"),
        ("n02086240-Shih-Tzu/n02086240_7.jpg", "Shih-Tzu", "dog", "train"),
        ("n02085620-Chihuahua/n02085620_15.jpg", "Chihuahua", "dog", "test"),
        ("n02086240-Shih-Tzu/n02086240_15.jpg", "Shih-Tzu", "dog", "test"),
    ]
