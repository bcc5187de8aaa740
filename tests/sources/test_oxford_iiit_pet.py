"""The official lists are read as they are, and whatever is wrong in them is reported with its line."""

from pathlib import Path

import pytest

from pets.core.errors import UserError
from pets.sources import Picture
from pets.sources.oxford_iiit_pet import pictures


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    (tmp_path / "annotations").mkdir()
    for name in ("Egyptian_Mau_3", "pug_12", "pug_2"):
        (tmp_path / "images" / f"{name}.jpg").write_bytes(b"")
    (tmp_path / "annotations" / "trainval.txt").write_text(
        "#Image CLASS-ID\nEgyptian_Mau_3 6 1 5\n\npug_12 27 2 15\n"
    )
    (tmp_path / "annotations" / "test.txt").write_text("pug_2 27 2 15\n")
    return tmp_path


def test_breed_species_and_split(raw: Path) -> None:
    assert list(pictures(raw)) == [
        Picture("Egyptian_Mau_3", "images/Egyptian_Mau_3.jpg", "Egyptian_Mau", "cat", "train"),
        Picture("pug_12", "images/pug_12.jpg", "pug", "dog", "train"),
        Picture("pug_2", "images/pug_2.jpg", "pug", "dog", "test"),
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("pug_9 27 2 15", "the label pug_9 has no image images/pug_9.jpg"),
        ("pug_12 27 2 15", "pug_12 is listed twice"),
        ("pug_2 27 3 15", "expected 'Image_number CLASS-ID SPECIES BREED-ID'"),
        ("pug_2 27", "expected 'Image_number CLASS-ID SPECIES BREED-ID'"),
        ("pug 27 2 15", "expected 'Image_number CLASS-ID SPECIES BREED-ID'"),
        ("../../secret_1 27 2 15", "expected 'Image_number CLASS-ID SPECIES BREED-ID'"),
    ],
)
def test_a_wrong_line_is_reported_with_its_number(raw: Path, line: str, message: str) -> None:
    (raw / "annotations" / "test.txt").write_text(f"# a comment\n{line}\n")
    with pytest.raises(UserError) as error:
        list(pictures(raw))
    assert message in str(error.value)
    assert "test.txt, line 2" in str(error.value)


def test_a_missing_list(raw: Path) -> None:
    (raw / "annotations" / "test.txt").unlink()
    with pytest.raises(UserError, match=r"test\.txt is missing"):
        list(pictures(raw))
