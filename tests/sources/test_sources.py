"""What every source has to do, whichever it is."""

import inspect
from pathlib import Path
from typing import Any

import pytest

from pets import sources
from pets.catalog import update, with_unlabelled
from pets.core import names
from pets.core.errors import UserError
from pets.core.files import atomic
from pets.core.params import Section
from pets.sources import Picture
from pets.sources.archives import Archive
from tests.sources.layouts import LAYOUTS, settings


def test_the_modules_are_the_sources_and_the_packages_are_not() -> None:
    assert set(names.sources()) == set(LAYOUTS)  # each is tested below
    assert not {"archives", "folders", "lists", "synthetic-pets"} & set(names.sources())


@pytest.mark.parametrize("name", names.sources())
def test_a_source_has_what_is_expected_of_it(name: str) -> None:
    source = sources.load(name)
    assert issubclass(source.Settings, Section)
    assert source.Settings.model_fields["source"].annotation.__args__ == (name,)  # type: ignore[union-attr]
    assert isinstance(source.LABEL_NAME, str)
    assert isinstance(source.SYNTHETIC, bool)
    assert isinstance(source.FROM_IMAGENET, bool)
    assert list(inspect.signature(source.fetch).parameters) == ["settings", "raw", "archives"]
    assert list(inspect.signature(source.pictures).parameters) == ["raw"]


@pytest.mark.parametrize("name", names.sources())
def test_its_pictures_are_labelled_unique_and_there(name: str, tmp_path: Path) -> None:
    source, raw = sources.load(name), tmp_path / "raw"
    raw.mkdir()
    wanted = settings(name, tmp_path)
    described = source.fetch(wanted, raw, tmp_path / "kept")
    archives = [each for each in vars(wanted).values() if isinstance(each, Archive)]
    assert [(each["url"], each["md5"]) for each in described] == [(each.url, each.md5) for each in archives]
    assert all(each["bytes"] > 0 and each["name"] for each in described)

    found = list(source.pictures(raw))
    assert found == list(source.pictures(raw))
    assert len({picture.image_id for picture in found}) == len(found) >= 4
    assert len({picture.label for picture in found}) >= 2
    for picture in found:
        assert picture.label
        assert (raw / picture.path).is_file()
        assert picture.split in ("train", "val", "test", None)
        assert picture.species in ("cat", "dog", None)
    assert len({picture.split is None for picture in found}) == 1
    assert list(with_unlabelled(raw, found)) == sorted(found, key=lambda each: each.image_id)
    if name != "sample":
        update(tmp_path / "catalog.parquet", raw, found)


@pytest.mark.parametrize("name", sorted({*names.sources()} - {"sample"}))
def test_other_archives_are_refused_and_leave_nothing(name: str, tmp_path: Path) -> None:
    """One that holds something else; one that is missing."""
    source = sources.load(name)
    right = settings(name, tmp_path)
    other = settings("eurosat" if name != "eurosat" else "dtd", tmp_path).archive
    keys = [key for key, value in right if isinstance(value, Archive)]
    gone = Archive(url=str(tmp_path / "gone.tar"), md5="0" * 32)
    for archive, message in (
        (other, r"is missing|holds (no|only|neither)|which is not"),
        (gone, "is not a file"),
    ):
        if name == "image-folder" and archive is other:
            continue  # to which any folder of pictures is right
        with pytest.raises(UserError, match=message) as error:
            read(source, right.model_copy(update={keys[0]: archive}), tmp_path)
        assert "\n" not in str(error.value)
        assert not (tmp_path / "raw").exists()


def read(source: sources.Source, wanted: Any, folder: Path) -> list[Picture]:
    with atomic(folder / "raw") as raw:
        raw.mkdir()
        source.fetch(wanted, raw, folder)
        return list(source.pictures(raw))
