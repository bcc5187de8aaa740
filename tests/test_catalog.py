"""The catalog equals a plain construction, decodes nothing twice, and does not depend on the earlier one."""

import hashlib
import io
import tempfile
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pandas as pd
import PIL
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pyarrow import parquet

from pets import catalog
from pets.catalog import summarize, update, with_unlabelled
from pets.core.errors import UserError
from pets.dataset import OK
from pets.images import decoding
from pets.images.decoding import UndecodableError, decode
from pets.sources import Picture


def encoded(kind: str, mode: str = "RGB", size: tuple[int, int] = (6, 4), **options: object) -> bytes:
    target = io.BytesIO()
    Image.new(mode, size, 7).save(target, kind, **options)
    return target.getvalue()


def turned() -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = 6
    return tags


JPEG = encoded("JPEG")
CONTENTS = {
    "jpeg": JPEG,
    "sideways": encoded("JPEG", exif=turned()),
    "png": encoded("PNG", "RGBA"),
    "gif": encoded("GIF", "P"),
    "truncated": JPEG[: len(JPEG) // 2],
    "empty": b"",
    "text": b"no picture",
    "long": encoded("PNG", "L", (82, 2)),
}
Files = list[tuple[str, str | None]]  # of each file: its content, and its split; without one, no list has it
files = st.lists(
    st.tuples(st.sampled_from(sorted(CONTENTS)), st.sampled_from(["train", "test", None])), max_size=9
)


def write(raw: Path, contents: Files) -> list[Picture]:
    """Write files 0.jpg, 1.jpg, ... and one that can be used; returns those that are listed."""
    raw.mkdir(exist_ok=True)
    for file in raw.iterdir():
        file.unlink()
    (raw / "base.jpg").write_bytes(encoded("JPEG", size=(8, 8)))
    (raw / "notes.txt").write_text("no picture")
    pictures = [Picture("base", "base.jpg", "pug", "dog", "train")]
    for number, (content, split) in reversed(list(enumerate(contents))):
        (raw / f"{number}.jpg").write_bytes(CONTENTS[content])
        if split:
            pictures.append(Picture(f"{number}", f"{number}.jpg", f"breed {number % 3}", "cat", split))
    return pictures


def run(file: Path, raw: Path, pictures: list[Picture]) -> int:
    """Bring the catalog up to date, in row groups of three; returns how many pictures were decoded."""
    with mock.patch.object(catalog, "ROWS", 3), mock.patch.object(decoding, "decode", wraps=decode) as calls:
        computed = update(file, raw, with_unlabelled(raw, pictures))
    assert calls.call_count == computed
    return computed


def plain(raw: Path, pictures: list[Picture]) -> pd.DataFrame:
    """The same table without chunks, threads or an earlier one, as pandas writes and reads it."""
    listed = {picture.path for picture in pictures}
    others = [file for file in sorted(raw.glob("*.jpg")) if file.name not in listed]
    rows = []
    for picture in [*pictures, *(Picture(file.stem, file.name, "", None, None) for file in others)]:
        data = (raw / picture.path).read_bytes()
        try:
            decoded, status = decode(data), OK
            found = (*decoded.size, decoded.format, decoded.mode)
        except UndecodableError as error:
            found, status = (0, 0, None, None), str(error)  # type: ignore[assignment]
        rows.append(
            {
                "image_id": picture.image_id,
                "path": picture.path,
                "label": picture.label or None,
                "species": picture.species,
                "official_split": picture.split,
                "bytes": len(data),
                "sha256": hashlib.sha256(data).hexdigest(),
                **dict(zip(("width", "height", "format", "mode"), found, strict=True)),
                "status": status if picture.label else "it has no label",
            }
        )
    target = io.BytesIO()
    pd.DataFrame(rows).sort_values("image_id", ignore_index=True).to_parquet(target, index=False)
    return pd.read_parquet(target)


@settings(max_examples=60, deadline=None)
@given(files, files)
def test_the_table_is_the_plain_one_whatever_was_there_before(before: Files, now: Files) -> None:
    with tempfile.TemporaryDirectory() as folder:
        raw, grown, at_once = (Path(folder, name) for name in ("raw", "grown", "at_once"))
        run(grown, raw, write(raw, before))
        pictures = write(raw, now)
        run(grown, raw, pictures)
        run(at_once, raw, pictures)
        assert grown.read_bytes() == at_once.read_bytes()
        assert summarize(grown) == summarize(at_once)
        pd.testing.assert_frame_equal(pd.read_parquet(grown), plain(raw, pictures))
        assert run(grown, raw, pictures) == 0


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    write(tmp_path / "raw", MIXED)
    return tmp_path / "raw"


MIXED: Files = [(name, "train") for name in CONTENTS] + [("jpeg", "test"), ("png", None), ("text", None)]
ALL = len(MIXED) + 1


@pytest.fixture
def file(raw: Path, tmp_path: Path) -> Iterator[Path]:
    """The catalog of the mixed folder."""
    path = tmp_path / "catalog.parquet"
    assert run(path, raw, write(raw, MIXED)) == ALL
    yield path
    assert not list(tmp_path.glob(".*"))


class TestWhatIsDecoded:
    def test_nothing_where_nothing_changed(self, file: Path, raw: Path) -> None:
        before = file.read_bytes()
        assert run(file, raw, write(raw, MIXED)) == 0
        assert file.read_bytes() == before

    def test_one_new_picture(self, file: Path, raw: Path) -> None:
        pictures = write(raw, MIXED)
        (raw / "new.jpg").write_bytes(encoded("JPEG", size=(5, 9)))
        assert run(file, raw, [*pictures, Picture("new", "new.jpg", "pug", "dog", "test")]) == 1
        row = pd.read_parquet(file).set_index("image_id").loc["new"]
        assert (row["width"], row["height"], row["status"]) == (5, 9, OK)

    def test_a_changed_picture(self, file: Path, raw: Path) -> None:
        pictures = write(raw, MIXED)
        (raw / "base.jpg").write_bytes(encoded("PNG", size=(5, 9)))
        assert run(file, raw, pictures) == 1

    def test_nothing_where_pictures_have_other_names_and_labels(self, file: Path, raw: Path) -> None:
        assert run(file, raw, write(raw, [(name, "test") for name, _ in reversed(MIXED)])) == 0

    def test_a_damaged_picture_that_gets_a_label(self, tmp_path: Path) -> None:
        """Its row without a label does not say why it can't be used."""
        raw, path = tmp_path / "raw", tmp_path / "catalog.parquet"
        run(path, raw, write(raw, [("truncated", None)]))
        assert run(path, raw, write(raw, [("truncated", "train")])) == 1
        assert "runcated" in pd.read_parquet(path)["status"][0]

    def test_what_lacked_memory(self, tmp_path: Path) -> None:
        raw, path = tmp_path / "raw", tmp_path / "catalog.parquet"
        pictures = write(raw, [("png", "train")])

        def failing(data: bytes) -> object:
            if data == CONTENTS["png"]:
                raise UndecodableError("MemoryError")
            return decode(data)

        with mock.patch.object(decoding, "decode", failing):
            update(path, raw, with_unlabelled(raw, pictures))
        assert list(pd.read_parquet(path)["status"]) == ["MemoryError", OK]
        assert run(path, raw, pictures) == 1
        assert list(pd.read_parquet(path)["status"]) == [OK, OK]

    def test_everything_by_another_decoder(
        self, file: Path, raw: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(PIL, "__version__", "1.0")
        assert run(file, raw, write(raw, MIXED)) == ALL
        assert "every picture is decoded again: the code that decodes has changed" in capsys.readouterr().out
        assert run(file, raw, write(raw, MIXED)) == 0
        assert capsys.readouterr().out == ""


@pytest.mark.parametrize("module", ["decoding", "metadata"])
def test_an_edit_of_what_decodes_changes_the_decoder(
    module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = catalog.decoder()
    images = tmp_path / "pets" / "images"
    images.mkdir(parents=True)
    for source in (catalog.ROOT / "pets" / "images").glob("*.py"):
        (images / source.name).write_bytes(source.read_bytes())
    monkeypatch.setattr(catalog, "ROOT", tmp_path)
    assert catalog.decoder() == before
    (images / "preprocessing.py").write_text("# edited")
    assert catalog.decoder() == before
    with (images / f"{module}.py").open("a") as file:
        file.write("# edited")
    assert catalog.decoder() != before


class TestDamage:
    """An earlier file that is no catalog, or a damaged one, is said to be so, and replaced."""

    @pytest.mark.parametrize("kind", ["empty", "text", "truncated", "other columns", "written by pandas"])
    def test_of_the_file(self, kind: str, file: Path, raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
        before = file.read_bytes()
        table = pd.read_parquet(file)
        if kind == "other columns":
            metadata = {key: parquet.read_metadata(file).metadata[key] for key in (b"decoder", b"checksum")}
            other = parquet.read_table(file).drop_columns("width").replace_schema_metadata(metadata)
            parquet.write_table(other, file)
        elif kind == "written by pandas":
            table.to_parquet(file, index=False)
        else:
            file.write_bytes({"empty": b"", "text": b"text", "truncated": before[:-9]}[kind])
        assert run(file, raw, write(raw, MIXED)) == ALL
        output = capsys.readouterr().out
        assert output.startswith(f"every picture is decoded again: {file} is ")
        assert output.count("\n") == 1
        assert file.read_bytes() == before

    def test_of_any_byte(self, file: Path, raw: Path) -> None:
        before, pictures = file.read_bytes(), write(raw, MIXED)
        for place in range(0, len(before), 41):
            damaged = bytearray(before)
            damaged[place] ^= 1 << place % 8
            file.write_bytes(damaged)
            run(file, raw, pictures)
            assert file.read_bytes() == before, place


def test_without_a_usable_picture_the_earlier_catalog_stays(file: Path, raw: Path) -> None:
    before = file.read_bytes()
    (raw / "base.jpg").write_bytes(b"")
    with pytest.raises(UserError, match=r"holds no picture that can be used \(12 listed\)"):
        run(file, raw, [Picture("base", "base.jpg", "pug", "dog", "train")])
    assert file.read_bytes() == before


def test_duplicates(file: Path) -> None:
    summary = summarize(file)
    assert (summary["listed"], summary["usable"]) == (ALL, 6)
    assert summary["duplicates"] == summary["duplicates_across_splits"] == [["0", "8"]]
    assert summary["formats"] == {"JPEG": 4, "PNG": 1, "GIF": 1}
