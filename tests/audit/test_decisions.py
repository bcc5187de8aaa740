"""audits/<data set>.csv: only the images that it names change; what it can't mean is refused in a line."""

from pathlib import Path

import pandas as pd
import pytest

from pets.audit import decisions
from pets.audit.decisions import decided, read_decisions
from pets.core.errors import UserError

IMAGES = pd.DataFrame(
    {
        "image_id": ["pug_1", "pug_2", "Bengal_1", "Bengal_2", "pug_3"],
        "label": ["pug", "pug", "Bengal", "Bengal", "pug"],
        "species": ["dog", "dog", "cat", "cat", "dog"],
        "split": ["train", "test", "train", "test", "val"],
    }
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(decisions, "FOLDER", tmp_path)
    return tmp_path


def decide(folder: Path, *lines: str) -> None:
    (folder / "pets.csv").write_text("\n".join(["image,verdict,label,who,why", *lines]) + "\n", "utf-8")


def test_without_a_file_nothing_changes() -> None:
    pd.testing.assert_frame_equal(decided("pets", IMAGES), IMAGES)


def test_only_the_images_named_change(folder: Path) -> None:
    decide(
        folder, "pug_1,drop,,Ada,a cat", 'pug_2,relabel,Bengal,Ada,"spots, and a tail"', "Bengal_1,keep,,Ada,"
    )
    expected = IMAGES.iloc[1:].copy()
    expected.loc[1, ["label", "species"]] = ["Bengal", "cat"]
    pd.testing.assert_frame_equal(decided("pets", IMAGES), expected)
    assert list(read_decisions("pets")["why"]) == ["a cat", "spots, and a tail", ""]


@pytest.mark.parametrize("species", [["dog", "dog", "cat", "cat", "dog"], [None] * 5])
def test_an_image_that_is_kept_changes_no_byte_of_the_splits(
    folder: Path, species: list[str | None], tmp_path: Path
) -> None:
    images = IMAGES.assign(species=pd.Series(species, dtype=object))
    images.to_parquet(tmp_path / "catalog.parquet")
    images = pd.read_parquet(tmp_path / "catalog.parquet")
    decide(folder, "Bengal_1,keep,,Ada,")
    assert decided("pets", images).to_parquet(index=False) == images.to_parquet(index=False)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("pug_9,drop,,Ada,", "pets.csv: 'pug_9' is no image of pets that can be used"),
        ("pug_1,relabel,Pug,Ada,", "pets.csv: 'Pug' is no label of pets; did you mean 'pug'?"),
        ("pug_1,delete,,Ada,", "the verdict is 'delete'; it is one of keep, drop, relabel"),
        ("pug_1,relabel,,Ada,", "a label belongs to the verdict relabel"),
        ("pug_1,drop,pug,Ada,", "a label belongs to the verdict relabel"),
        ("pug_1,drop,,Ada,\npug_2,drop,,Ada,\npug_3,relabel,Bengal,Ada,", "leaves no image of 'pug'"),
        ("pug_1,drop,,Ada,\npug_1,keep,,Ada,", "decides more than once about 'pug_1'"),
        ("pug_1,drop,,Ada,a,b", "6 fields, not 5"),
    ],
)
def test_what_it_cannot_mean_is_refused(folder: Path, line: str, message: str) -> None:
    decide(folder, line)
    with pytest.raises(UserError) as refused:
        decided("pets", IMAGES)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_another_header_or_no_text_is_refused(folder: Path) -> None:
    (folder / "pets.csv").write_text("image,verdict\npug_1,drop\n", "utf-8")
    with pytest.raises(UserError, match="has to begin with the line image,verdict,label,who,why"):
        read_decisions("pets")
    (folder / "pets.csv").write_bytes(b"image,verdict,label,who,why\n\xff\xfe,drop,,,\n")
    with pytest.raises(UserError, match="can't be read"):
        read_decisions("pets")


def test_what_a_spreadsheet_writes_is_read(folder: Path) -> None:
    text = 'image,verdict,label,who,why\r\npug_1,drop,,Ada,"two\nlines"\r\n\r\n'
    (folder / "pets.csv").write_text(text, "utf-8-sig", newline="")
    assert read_decisions("pets")["image"].tolist() == ["pug_1"]
