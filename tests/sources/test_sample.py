"""The synthetic pets are the same everywhere, in the layout of the official ones."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets import OxfordIIITPet

from pets.sources import sample
from pets.sources.synthetic_pets import BREEDS, draw

SETTINGS = sample.Settings(source="sample", per_breed=4, size=64, seed=7)


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synthetic") / "oxford-iiit-pet"
    folder.mkdir()
    assert sample.fetch(SETTINGS, folder, folder / "archives") == []  # from no archive
    return folder


def test_torchvision_reads_the_layout(raw: Path) -> None:
    for split in ("trainval", "test"):
        pets = OxfordIIITPet(raw.parent, split=split, target_types=["category", "binary-category"])
        assert len(pets) == 37 * 2
        assert len(pets.classes) == 37
        image, (_, species) = pets[0]
        assert min(image.size) == 64
        assert species == 0  # Abyssinian, a cat


def test_half_of_every_breed_is_for_testing(raw: Path) -> None:
    pictures = list(sample.pictures(raw))
    assert len({picture.image_id for picture in pictures}) == 37 * 4
    assert Counter((picture.label, picture.split) for picture in pictures) == {
        (breed.name, split): 2 for breed in BREEDS for split in ("train", "test")
    }
    assert {picture.label for picture in pictures if picture.species == "cat"} == {
        breed.name for breed in BREEDS if breed.name[0].isupper()
    }
    assert len({(raw / picture.path).read_bytes() for picture in pictures}) == 37 * 4


def test_the_same_seed_draws_the_same_bytes(raw: Path, tmp_path: Path) -> None:
    sample.fetch(SETTINGS, tmp_path, tmp_path)
    for file in raw.rglob("*.*"):
        assert (tmp_path / file.relative_to(raw)).read_bytes() == file.read_bytes()


def test_a_picture_depends_on_its_own_numbers_only(raw: Path, tmp_path: Path) -> None:
    alone = draw(BREEDS[5], np.random.default_rng([7, 5, 2]), 64)
    alone.save(tmp_path / "alone.jpg", quality=88)
    assert (tmp_path / "alone.jpg").read_bytes() == (raw / "images" / f"{BREEDS[5].name}_3.jpg").read_bytes()
    other = draw(BREEDS[5], np.random.default_rng([8, 5, 2]), 64)
    assert other.size != alone.size or not np.array_equal(np.asarray(other), np.asarray(alone))


@pytest.mark.parametrize("breed", BREEDS, ids=lambda breed: breed.name)
def test_every_breed_is_drawn_in_every_pose(breed: object) -> None:
    for seed in range(6):
        picture = draw(breed, np.random.default_rng(seed), 48)  # type: ignore[arg-type]
        assert isinstance(picture, Image.Image)
        assert min(picture.size) == 48
        assert np.asarray(picture).std() > 5
