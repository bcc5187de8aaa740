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


TRAINVAL = "Egyptian_Mau_3 6 1 5\npug_12 27 2 15\n"
TEST = "pug_2 27 2 15\n"


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        (
            "test",
            "pug_2 27 1 15\n",
            "pug has species 1 (cat), but species 2 (dog) in {trainval}, line 2",
        ),
        ("test", "pug_2 28 2 15\n", "breed pug has class 28, but class 27 in {trainval}, line 2"),
        ("test", "pug_2 27 2 16\n", "breed pug has breed id 16, but breed id 15 in {trainval}, line 2"),
        ("test", TEST + "boxer_1 27 2 4\n", "class 27 has breed boxer, but breed pug in {trainval}, line 2"),
        ("test", TEST + "boxer_1 9 2 15\n", "dog with breed id 15 has breed boxer, but breed pug in"),
        ("test", TEST + "pug_12 27 2 15\n", "pug_12 is listed twice, before in {trainval}, line 2"),
        ("trainval", TRAINVAL + "pug_12 27 2 15\n", "pug_12 is listed twice, before in {trainval}, line 2"),
        ("list", TRAINVAL, "pug_2 is here, but not in list.txt"),
        ("list", TRAINVAL + TEST + "pug_7 27 2 15\n", "pug_7 is here, but not in trainval.txt nor test.txt"),
        ("list", TRAINVAL + TEST + TEST, "pug_2 is listed twice, before in {list}, line 3"),
        (
            "list",
            TRAINVAL.replace("2 15", "1 15") + TEST,
            "breed pug has species 1 (cat), but species 2 (dog)",
        ),
    ],
)
def test_lists_that_contradict_themselves_or_each_other(
    raw: Path, file: str, text: str, message: str
) -> None:
    """The message names the line, the other line, and what each says."""
    annotations = raw / "annotations"
    for image in ("boxer_1", "pug_7"):
        (raw / "images" / f"{image}.jpg").write_bytes(b"")
    for name, content in {"trainval": TRAINVAL, "test": TEST, "list": None, file: text}.items():
        if content is not None:
            (annotations / f"{name}.txt").write_text(content)
    with pytest.raises(UserError) as error:
        list(pictures(raw))
    assert message.format(**{name: annotations / f"{name}.txt" for name in ("trainval", "list")}) in str(
        error.value
    )
    assert ", line " in str(error.value)


def test_a_list_of_all_images_that_agrees(raw: Path) -> None:
    before = list(pictures(raw))
    (raw / "annotations" / "list.txt").write_text("#Image\n" + TEST + TRAINVAL)
    assert list(pictures(raw)) == before


def test_a_list_that_is_not_text(raw: Path) -> None:
    (raw / "annotations" / "test.txt").write_bytes(b"pug_2 27 2 15\nB\xe9b\xe9_1 3 1 3\n")
    with pytest.raises(UserError, match=r"test\.txt, line 2: expected 'Image_number"):
        list(pictures(raw))


def test_a_missing_list(raw: Path) -> None:
    (raw / "annotations" / "test.txt").unlink()
    with pytest.raises(UserError, match=r"test\.txt is missing"):
        list(pictures(raw))
