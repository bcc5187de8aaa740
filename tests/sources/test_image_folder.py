"""Folders as people leave them: every file has its row, and a mistake one line."""

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image

from pets.catalog import summarize, update, with_unlabelled
from pets.core.errors import UserError
from pets.sources import Picture
from pets.sources.folders import layout
from pets.sources.image_folder import Settings, fetch, pictures
from tests.sources.layouts import pack, picture
from tests.sources.layouts import pictures as contents

LONG = "x" * 246 + ".jpg"  # 250 letters
CONTENTS = {
    "cat/1.jpg": picture(1),
    "cat/2.jpg": picture(2),
    "dog/1.jpg": picture(3),
    "dog/2.jpg": picture(4),
}


def write(root: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write(tmp_path / "photos", CONTENTS)


def read(path: Path, **settings: Any) -> list[Picture]:
    raw = path.parent / "raw"
    raw.mkdir(exist_ok=True)
    fetch(Settings(source="image-folder", path=path, **settings), raw, path.parent / "kept")
    return list(pictures(raw))


def rows(path: Path, **settings: Any) -> pd.DataFrame:
    """The catalog of a folder, by image_id."""
    found, file = read(path, **settings), path.parent / "catalog.parquet"
    update(file, path.parent / "raw", with_unlabelled(path.parent / "raw", found))
    return pd.read_parquet(file).set_index("image_id")


def labels(path: Path, **settings: Any) -> dict[str, str]:
    return {each.image_id: each.label for each in read(path, **settings)}


class TestWhereItLies:
    def test_nothing_is_copied_and_the_path_is_the_id(self, photos: Path) -> None:
        found = read(photos)
        assert [each.image_id for each in found] == ["cat/1.jpg", "cat/2.jpg", "dog/1.jpg", "dog/2.jpg"]
        assert [each.path for each in found] == [str(photos / each.image_id) for each in found]
        assert [each.label for each in found] == ["cat", "cat", "dog", "dog"]
        assert [file.name for file in (photos.parent / "raw").iterdir()] == ["folder.json"]
        assert (rows(photos)["status"] == "ok").all()

    def test_from_home_or_the_working_folder(self, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", str(photos.parent))
        monkeypatch.chdir(photos.parent)
        expected = read(photos)
        for path in (Path("~/photos"), Path("photos")):
            fetch(Settings(source="image-folder", path=path), photos.parent / "raw", Path("kept"))
            assert list(pictures(photos.parent / "raw")) == expected

    @pytest.mark.parametrize("name", ["photos.zip", "photos.tar.gz"])
    def test_an_archive_has_the_same_rows(self, name: str, tmp_path: Path) -> None:
        archive = pack(tmp_path / name, {f"around/photos/{each}": data for each, data in CONTENTS.items()})
        raw = tmp_path / "raw"
        raw.mkdir()
        fetch(Settings.model_validate({"source": "image-folder", "archive": archive}), raw, tmp_path)
        found = list(pictures(raw))
        assert {each.image_id: (raw / each.path).read_bytes() for each in found} == CONTENTS


class TestClassesAndSplits:
    def test_nested(self, tmp_path: Path) -> None:
        photos = write(tmp_path / "photos", contents("cat/a/b/1.jpg", "cat/1.jpg", "dog/2020/1.jpg"))
        assert labels(photos) == {"cat/1.jpg": "cat", "cat/a/b/1.jpg": "cat", "dog/2020/1.jpg": "dog"}

    @pytest.mark.parametrize(
        ("names", "splits"),
        [
            (("train", "val", "test"), ["test", "train", "val"]),
            (("Training", "validation"), ["train", "val"]),
            (("train", "test"), ["test", "train"]),
        ],
    )
    def test_a_split_of_its_own(self, names: tuple[str, ...], splits: list[str], tmp_path: Path) -> None:
        files = contents(*(f"{name}/{label}/1.jpg" for name in names for label in ("car", "train")))
        found = read(write(tmp_path / "photos", files))
        assert sorted({each.split or "" for each in found}) == splits
        assert {each.label for each in found} == {"car", "train"}
        assert {each.image_id for each in found} == files.keys()

    @pytest.mark.parametrize(
        "files",
        [
            ("train/1.jpg", "car/1.jpg", "plane/1.jpg"),  # among other classes
            ("train/1.jpg", "test/1.jpg"),  # its pictures directly inside
            ("train/red/1.jpg", "train/1.jpg", "test/red/1.jpg"),
            ("train/red/1.jpg", "car/red/1.jpg"),
            ("train/red/1.jpg", "Train/red/1.jpg"),
            ("val/red/1.jpg", "test/red/1.jpg"),  # without train
        ],
    )
    def test_a_class_that_is_called_train(self, files: tuple[str, ...], tmp_path: Path) -> None:
        found = read(write(tmp_path / "photos", contents(*files)))
        assert {each.label for each in found} == {file.partition("/")[0] for file in files}
        assert {each.split for each in found} == {None}

    def test_folders_around_the_classes_are_passed_through(self, tmp_path: Path) -> None:
        files = contents("a/b/cat/1.jpg", "a/b/dog/1.jpg") | {"readme.txt": b"", "a/licence.txt": b""}
        found = layout(write(tmp_path / "photos", files))
        assert (found.root, found.classes) == (tmp_path / "photos/a/b", ["cat", "dog"])

    def test_folders_left_out(self, photos: Path) -> None:
        write(photos, contents("bird/1.jpg", "cat/raw/1.jpg"))
        assert set(labels(photos, without=["bird", "raw"])) == CONTENTS.keys()
        assert read(photos, without=["bird", "raw"]) == [
            each for each in read(photos) if each.image_id in CONTENTS
        ]


class TestBadInput:
    """What is wrong with a picture is its row's status; what is wrong with the folder is said."""

    def test_an_empty_class(self, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (photos / "bird").mkdir()
        assert set(labels(photos)) == CONTENTS.keys()
        assert "  bird is empty, so it is no class here\n" in capsys.readouterr().out

    def test_the_same_file_under_two_classes(self, photos: Path) -> None:
        """Both are kept, since which is right only its owner knows; the summary names them."""
        write(photos, {"dog/3.jpg": CONTENTS["cat/1.jpg"], "dog/4.jpg": CONTENTS["dog/1.jpg"]})
        table = rows(photos)
        assert (table["status"] == "ok").all()
        found = summarize(photos.parent / "catalog.parquet")
        assert found["duplicates_across_labels"] == [["cat/1.jpg", "dog/3.jpg"]]
        assert len(found["duplicates"]) == 2

    def test_names_that_differ_by_case_only(self, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
        write(photos, contents("Cat/1.jpg", "cat/1.JPG"))
        assert labels(photos).keys() == {*CONTENTS, "Cat/1.jpg", "cat/1.JPG"}
        assert "  Cat and cat differ in upper and lower case only" in capsys.readouterr().out

    def test_odd_names(self, photos: Path) -> None:
        odd = [
            f"dog/{name}"
            for name in ("a b  c.jpg", "🐕 und 🦴.jpg", LONG, "|<&>\"'.jpg", "%41#?.jpg", "a\nb.jpg")
        ]
        write(photos, contents(*odd, "🐈 Katze/1.jpg"))
        table = rows(photos)
        assert set(table.index) == {*CONTENTS, *odd, "🐈 Katze/1.jpg"}
        assert (table["status"] == "ok").all()

    def test_a_name_that_is_not_utf_8(self, photos: Path) -> None:
        (photos / "cat" / os.fsdecode(b"caf\xe9.jpg")).write_bytes(picture(9))
        table = rows(photos)
        assert table.loc["cat/caf\\udce9.jpg", "status"] == "it can't be read: No such file or directory"
        assert (table["status"] == "ok").sum() == 4

    def test_what_is_no_picture_or_cannot_be_read_has_its_reason(
        self, photos: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write(
            photos,
            {
                "cat/notes.txt": b"not a picture",
                "cat/empty.jpg": b"",
                "cat/cut.jpg": picture(5)[:-9],
                "dog/Thumbs.db": b"\xd0\xcf",
                "dog/locked.jpg": picture(6),
                "loose.jpg": picture(7),
                ".hidden/1.jpg": picture(8),
                "cat/.1.jpg": picture(8),
            },
        )
        (photos / "dog/broken.jpg").symlink_to(photos / "gone.jpg")
        os.mkfifo(photos / "dog/pipe.jpg")
        with (photos / "dog/film.mp4").open("wb") as film:
            film.truncate(3 << 30)  # sparse
        whole = Path.read_bytes

        def locked(path: Path) -> bytes:  # whoever runs this may be root, who can read everything
            if path.name == "locked.jpg":
                raise PermissionError(13, "Permission denied", str(path))
            return whole(path)

        monkeypatch.setattr(Path, "read_bytes", locked)
        table = rows(photos)
        bad = table["status"][table["status"] != "ok"].to_dict()
        assert "truncated" in bad.pop("cat/cut.jpg").lower()
        assert bad == {
            "cat/notes.txt": "not a picture of a known format",
            "cat/empty.jpg": "the file is empty",
            "dog/Thumbs.db": "not a picture of a known format",
            "dog/locked.jpg": "it can't be read: Permission denied",
            "dog/broken.jpg": "it can't be read: No such file or directory",
            "dog/film.mp4": "3.0 GiB: too large for a picture",
            "loose.jpg": "it has no label",
        }
        assert set(table.index) == {*CONTENTS, *bad, "cat/cut.jpg"}
        assert table["sha256"].isna().sum() == 3  # of what was not read
        monkeypatch.undo()
        assert rows(photos).loc["dog/locked.jpg", "status"] == "ok"  # once it can be read

    def test_loops_of_links_end_and_other_links_are_followed(self, photos: Path, tmp_path: Path) -> None:
        (photos / "cat/loop").symlink_to(photos)
        (photos / "dog/self").symlink_to(photos / "dog/self")
        write(tmp_path / "elsewhere", contents("1.jpg"))
        (photos / "bird").symlink_to(tmp_path / "elsewhere")
        assert labels(photos).keys() == {*CONTENTS, "bird/1.jpg", "dog/self"}
        status = rows(photos)["status"]
        assert status[status != "ok"].to_dict() == {
            "dog/self": "it can't be read: Too many levels of symbolic links"
        }

    def test_pictures_of_300_megapixels(self, photos: Path) -> None:
        """Over what Pillow opens the picture has its reason, and below it is shrunk while it is decoded."""
        for name, size in (("large", (12_000, 9_000)), ("larger", (20_000, 15_000))):
            target = io.BytesIO()
            Image.new("1", size).save(target, "PNG")
            write(photos, {f"cat/{name}.png": target.getvalue()})
        table = rows(photos)
        assert table.loc["cat/large.png", "status"] == "ok"
        assert "exceeds limit" in str(table.loc["cat/larger.png", "status"])

    def test_5000_classes(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        photos = tmp_path / "photos"
        photos.mkdir()
        for number in range(5000):
            (photos / f"{number:04d}").mkdir()
            (photos / f"{number:04d}/1.jpg").touch()
        assert len({each.label for each in read(photos)}) == 5000
        assert "5000 classes (0000, 0001, 0002, 0003, 0004, ...)" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("make", "message"),
        [
            (lambda path: None, "there is no folder {}; correct the path of the data set."),
            (
                lambda path: path.write_bytes(b"x"),
                "{} is a file, not a folder; of an archive give, in place of path, ",
            ),
            (
                lambda path: path.mkdir(),
                "{} holds no folder of a class; put the pictures of each class into a folder",
            ),
            (lambda path: write(path, contents("1.jpg")), "{} holds no folder of a class"),
            (lambda path: write(path, contents("cat/1.jpg")), "{} holds only the class 'cat'"),
        ],
    )
    def test_a_folder_that_cannot_be_used(
        self, make: Callable[[Path], object], message: str, tmp_path: Path
    ) -> None:
        make(tmp_path / "photos")
        with pytest.raises(UserError) as error:
            read(tmp_path / "photos")
        assert message.format(tmp_path / "photos") in str(error.value)
        assert "\n" not in str(error.value)

    def test_a_class_that_cannot_be_opened(self, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        whole = Path.iterdir

        def locked(path: Path) -> Any:
            if path.name == "dog":
                raise PermissionError(13, "Permission denied", str(path))
            return whole(path)

        monkeypatch.setattr(Path, "iterdir", locked)
        with pytest.raises(
            UserError, match=r"photos/dog can't be read: Permission denied; change that, or leave"
        ):
            read(photos)

    @pytest.mark.parametrize("entry", [{}, {"path": "a", "archive": {"url": "a.zip"}}])
    def test_a_path_or_an_archive(self, entry: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match="either a path, of a folder, or an archive"):
            Settings.model_validate({"source": "image-folder", **entry})
