"""Archives with everything in them that should not be there, cut off and damaged."""

import errno
import gzip
import io
import ntpath
import os
import posixpath
import stat
import tarfile
import tempfile
import warnings
import zipfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pets.core.errors import UserError
from pets.sources.archives import Archive, fetch_archive, unpack, unpacking
from tests.sources.server import md5

Tree = dict[str, bytes]
TARS = {"tar": "w", "tar.gz": "w:gz", "tar.bz2": "w:bz2", "tar.xz": "w:xz"}
KINDS = [*TARS, "zip"]


def pack(path: Path, tree: Tree, kind: str, tar_format: int = tarfile.PAX_FORMAT) -> Path:
    """An archive of those files in that order."""
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
            for name, data in tree.items():
                packed.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    else:
        with tarfile.open(path, TARS[kind], format=tar_format) as tar:  # type: ignore[call-overload]
            for name, data in tree.items():
                member = tarfile.TarInfo(name)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    return path


def files_in(folder: Path) -> Tree:
    return {
        each.relative_to(folder).as_posix(): each.read_bytes() for each in folder.rglob("*") if each.is_file()
    }


def refusal(archive: Path, folder: Path) -> str:
    with pytest.raises(UserError) as raised:
        unpack(archive, folder)
    assert str(archive) in str(raised.value)
    assert "\n" not in str(raised.value)
    return str(raised.value)


PIECES = st.text(st.characters(codec="utf-8", exclude_characters="/\\\0:"), min_size=1, max_size=12).filter(
    lambda piece: piece not in (".", "..", ".DS_Store", "__MACOSX") and not piece.startswith("._")
)
NAMES = st.lists(PIECES, min_size=1, max_size=4).map("/".join).filter(lambda name: len(name.encode()) < 250)


def no_file_is_a_folder(tree: Tree) -> bool:
    return not any(other.startswith(f"{name}/") for name in tree for other in tree)


TREES = st.dictionaries(NAMES, st.binary(max_size=2000), max_size=8).filter(no_file_is_a_folder)


@settings(deadline=None, max_examples=80)
@given(TREES, st.sampled_from(KINDS), st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]))
def test_any_tree_comes_out_as_it_went_in(tree: Tree, kind: str, tar_format: int) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        archive = pack(Path(scratch, "no ending"), tree, kind, tar_format)
        unpack(archive, Path(scratch, "raw"))
        assert files_in(Path(scratch, "raw")) == tree


def leaves(name: str) -> bool:
    """By the standard library's own arithmetic of paths: would it leave a folder on Unix or on Windows?"""
    return any(
        paths.isabs(name)
        or paths.splitdrive(name)[0] != ""
        or paths.normpath(name).split(paths.sep)[0] == paths.pardir
        for paths in (posixpath, ntpath)
    )


@settings(deadline=None, max_examples=80)
@given(
    st.lists(st.sampled_from(["..", ".", "a", "b", "/", "/", "\\", "C:", "..a"]), min_size=1, max_size=7),
    st.sampled_from(["tar", "zip"]),
)
@example(["..", "/", "outside"], "tar")
@example(["a", "/", "..", "/", "..", "/", "outside"], "zip")
@example(["a", "\\", "..", "\\", "..", "\\", "outside"], "zip")
@example(["..", "..", "/", "."], "tar")
def test_no_name_leads_out_of_the_folder(pieces: list[str], kind: str) -> None:
    name = "".join(pieces)
    with tempfile.TemporaryDirectory() as scratch:
        deep = Path(scratch, "1", "2", "3", "4", "5", "6", "7", "raw")
        deep.mkdir(parents=True)
        archive = pack(Path(scratch, "archive"), {name: b"x"}, kind)
        message = ""
        try:
            unpack(archive, deep)
        except UserError as error:
            message = str(error)
        assert repr(name) in message or not (message or leaves(name))
        for each in Path(scratch).rglob("*"):
            assert each == archive or deep in [each, *each.parents] or each in deep.parents


UNSAFE = [
    "/etc/x",
    "../x",
    "a/../../x",
    "a/../x",
    "C:/x",
    "c:x",
    "..\\x",
    "a\\b",
    "\\\\host\\share\\x",
    "\\x",
    "//x",
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", UNSAFE)
def test_unsafe_names_are_refused(name: str, kind: str, tmp_path: Path) -> None:
    archive = pack(tmp_path / "archive", {"images/good.jpg": b"1", name: b"2"}, kind)
    assert repr(name) in refusal(archive, tmp_path / "raw")
    assert list(files_in(tmp_path)) in (
        ["raw/images/good.jpg", "archive"],
        ["archive", "raw/images/good.jpg"],
    )


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, b"?"]
)
def test_a_tar_of_anything_but_files_is_refused(kind: bytes, tmp_path: Path) -> None:
    archive = tmp_path / "a.tar"
    with tarfile.open(archive, "w") as tar:
        member = tarfile.TarInfo("images/odd")
        member.type, member.linkname = kind, "good.jpg"  # even a link that stays inside
        tar.addfile(member)
    assert "'images/odd' is neither" in refusal(archive, tmp_path / "raw")


def test_a_sparse_file_in_a_tar_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "a.tar"
    member = tarfile.TarInfo("images/huge")
    member.type = tarfile.GNUTYPE_SPARSE
    archive.write_bytes(member.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    assert "'images/huge' is neither" in refusal(archive, tmp_path / "raw")


@pytest.mark.parametrize("mode", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_a_zip_of_anything_but_files_is_refused(mode: int, tmp_path: Path) -> None:
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        member = zipfile.ZipInfo("images/odd")
        member.external_attr = (mode | 0o777) << 16
        packed.writestr(member, "good.jpg")
    assert "'images/odd' is neither" in refusal(archive, tmp_path / "raw")


@pytest.mark.parametrize(("at", "value"), [(6, 1), (8, 9)])
def test_a_zip_that_is_encrypted_or_of_another_method_is_reported(
    at: int, value: int, tmp_path: Path
) -> None:
    archive = pack(tmp_path / "a.zip", {"images/secret.jpg": b"1"}, "zip")
    data = bytearray(archive.read_bytes())
    data[data.index(b"PK\x03\x04") + at] = data[data.index(b"PK\x01\x02") + at + 2] = value
    archive.write_bytes(data)
    assert "'images/secret.jpg' is encrypted or compressed by an unsupported" in refusal(
        archive, tmp_path / "raw"
    )


def pack_twice(path: Path, first: str, second: str, kind: str) -> Path:
    """Two files under two names, which may be the same one."""
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as packed, warnings.catch_warnings(action="ignore"):
            packed.writestr(first, b"1")
            packed.writestr(second, b"2")
    else:
        with tarfile.open(path, TARS[kind]) as tar:  # type: ignore[call-overload]
            for name, data in ((first, b"1"), (second, b"2")):
                member = tarfile.TarInfo(name)
                member.size = 1
                tar.addfile(member, io.BytesIO(data))
    return path


@pytest.mark.parametrize("kind", ["tar", "zip"])
@pytest.mark.parametrize(
    ("first", "second"), [("a/b", "a/b"), ("a/b", "a/./b"), ("a", "a/b"), ("a", "a/b/c"), ("a/b", "a")]
)
def test_nothing_is_written_over(first: str, second: str, kind: str, tmp_path: Path) -> None:
    archive = pack_twice(tmp_path / "archive", first, second, kind)
    assert f"{second!r} is where another file" in refusal(archive, tmp_path / "raw")
    assert (tmp_path / "raw" / first).read_bytes() == b"1"


def test_two_archives_share_a_folder_but_no_file(tmp_path: Path) -> None:
    images = pack(tmp_path / "i.tar.gz", {"images/cat_1.jpg": b"1", "README": b"i"}, "tar.gz")
    lists = pack(tmp_path / "a.tar.gz", {"annotations/list.txt": b"2"}, "tar.gz")
    again = pack(tmp_path / "o.zip", {"README": b"o"}, "zip")
    raw = tmp_path / "raw"
    unpack(images, raw)
    unpack(lists, raw)
    assert "'README'" in refusal(again, raw)
    assert files_in(raw) == {"images/cat_1.jpg": b"1", "README": b"i", "annotations/list.txt": b"2"}


@pytest.mark.parametrize("kind", KINDS)
def test_files_that_macos_adds_are_left_out(kind: str, tmp_path: Path) -> None:
    tree = {"a/._x.jpg": b"1", "__MACOSX/a/x.jpg": b"2", "a/.DS_Store": b"3", "a/x.jpg": b"4", "._a": b"5"}
    unpack(pack(tmp_path / "archive", tree, kind), tmp_path / "raw")
    assert files_in(tmp_path / "raw") == {"a/x.jpg": b"4"}


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_folders_come_and_files_are_ordinary(kind: str, tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    if kind == "tar":
        with tarfile.open(archive, "w") as tar:
            for name, type_ in (
                ("./", tarfile.DIRTYPE),
                ("./empty/", tarfile.DIRTYPE),
                ("./run", tarfile.REGTYPE),
            ):
                member = tarfile.TarInfo(name)
                member.mode, member.type, member.mtime = 0o6777, type_, 1
                tar.addfile(member)
    else:
        with zipfile.ZipFile(archive, "w") as packed:
            for name, mode in (("empty/", stat.S_IFDIR), ("run", stat.S_IFREG)):
                info = zipfile.ZipInfo(name)
                info.external_attr = (mode | 0o6777) << 16
                packed.writestr(info, b"")
    umask = os.umask(0o022)
    try:
        unpack(archive, tmp_path / "raw")
    finally:
        os.umask(umask)
    assert (tmp_path / "raw" / "empty").is_dir()
    assert stat.S_IMODE((tmp_path / "raw" / "run").stat().st_mode) == 0o644


# Damage

MEMBERS = {f"images/cat_{number}.jpg": os.urandom(700) * (number % 3) for number in range(6)}


@settings(deadline=None, max_examples=120)
@given(st.sampled_from(KINDS), st.floats(0, 1, exclude_max=True))
def test_a_cut_off_archive_is_reported(kind: str, share: float) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        archive = pack(Path(scratch, "archive"), MEMBERS, kind)
        data = archive.read_bytes()
        complete = len(data.rstrip(b"\0")) if kind == "tar" else len(data)  # a tar ends in padding
        archive.write_bytes(data[: int(complete * share)])
        with pytest.raises(UserError, match="cut off or damaged"):
            unpack(archive, Path(scratch, "raw"))


def test_a_tar_cut_between_two_members_is_reported(tmp_path: Path) -> None:
    archive = pack(tmp_path / "a.tar", {"a": b"1", "b": b"2"}, "tar")
    archive.write_bytes(archive.read_bytes()[:1024])
    assert "near 'a'" in refusal(archive, tmp_path / "raw")


def test_a_cut_archive_whose_md5_is_right_is_reported(tmp_path: Path) -> None:
    packed = pack(tmp_path / "a.tar.gz", MEMBERS, "tar.gz")
    packed.write_bytes(packed.read_bytes()[: packed.stat().st_size * 2 // 3])
    archive = Archive(url=str(packed), md5=md5(packed.read_bytes()))
    assert "near 'images/cat_" in refusal(fetch_archive(archive, tmp_path), tmp_path / "raw")


@settings(deadline=None, max_examples=120)
@given(st.sampled_from(KINDS), st.floats(0, 1, exclude_max=True), st.integers(1, 255))
def test_a_damaged_archive_is_reported_or_does_no_harm(kind: str, share: float, change: int) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        archive = pack(Path(scratch, "archive"), MEMBERS, kind)
        data = bytearray(archive.read_bytes())
        data[int(len(data) * share)] ^= change
        archive.write_bytes(data)
        try:
            unpack(archive, Path(scratch, "raw"))
        except UserError:
            return
        if kind not in ("tar", "zip"):  # those two have no checksum of everything
            assert files_in(Path(scratch, "raw")) == MEMBERS


def test_a_tar_with_a_broken_header_does_not_end_there(tmp_path: Path) -> None:
    archive = pack(tmp_path / "a.tar", {"a": b"1", "b": b"2", "c": b"3"}, "tar")
    data = bytearray(archive.read_bytes())
    data[1024] ^= 1  # the name of b, which is in its header's checksum
    archive.write_bytes(data)
    with tarfile.open(archive) as lenient:
        assert lenient.getnames() == ["a"]
    assert "near 'a'" in refusal(archive, tmp_path / "raw")


@pytest.mark.parametrize("content", [b"", b"<html>Please log in</html>" * 100, os.urandom(5000)])
def test_what_is_no_archive_is_reported(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.tar.gz").write_bytes(content)
    assert "neither a tar nor a zip" in refusal(tmp_path / "a.tar.gz", tmp_path / "raw")


def test_a_wrong_checksum_of_the_compressed_bytes_is_reported(tmp_path: Path) -> None:
    archive = pack(tmp_path / "a.tar.gz", {"a": b"1"}, "tar.gz")
    data = bytearray(archive.read_bytes())
    data[-8] ^= 1
    archive.write_bytes(data)
    assert "CRC" in refusal(archive, tmp_path / "raw")


# Bombs


@pytest.mark.parametrize("kind", ["tar.gz", "tar.bz2", "tar.xz", "zip"])
def test_a_bomb_is_refused(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = pack(tmp_path / "archive", {f"zeros{number}": bytes(1 << 20) for number in range(5)}, kind)
    unpack(archive, tmp_path / "fine")
    monkeypatch.setattr(unpacking, "ALWAYS_ALLOWED", 3 << 20)
    assert "unpacked to far more" in refusal(archive, tmp_path / "raw")
    assert sum(map(len, files_in(tmp_path / "raw").values())) <= 3 << 20


def test_photographs_are_not_a_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "ALWAYS_ALLOWED", 0)
    for kind in KINDS:
        unpack(pack(tmp_path / "archive", {"a": os.urandom(100_000)}, kind), tmp_path / kind)


@pytest.mark.parametrize("size", [-1, -512, -1024, -(1 << 40)])
def test_a_negative_size_is_no_endless_loop(size: int, tmp_path: Path) -> None:
    archive = pack(tmp_path / "a.tar", {"a": b"1"}, "tar")
    header = tarfile.TarInfo("b")
    header.size = size
    archive.write_bytes(archive.read_bytes()[:1024] + header.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    assert "near 'a' (a negative size)" in refusal(archive, tmp_path / "raw")


def test_headers_of_headers_are_no_endless_depth(tmp_path: Path) -> None:
    archive = tmp_path / "a.tar.gz"
    header = tarfile.TarInfo("header")
    header.type = tarfile.GNUTYPE_LONGNAME
    archive.write_bytes(gzip.compress(header.tobuf() * 5000))
    assert "recursion" in refusal(archive, tmp_path / "raw")


@pytest.mark.parametrize(
    ("header", "message"),
    [({"path": "a\0b"}, "'a\\x00b' is not a plain path"), ({"GNU.sparse.map": "x"}, "damaged")],
)
def test_invalid_headers_are_reported(header: dict[str, str], message: str, tmp_path: Path) -> None:
    archive = tmp_path / "a.tar"
    with tarfile.open(archive, "w") as tar:
        member = tarfile.TarInfo("a")
        member.pax_headers = header
        tar.addfile(member)
    assert message in refusal(archive, tmp_path / "raw")


@pytest.mark.parametrize("kind", ["tar.gz", "zip"])
def test_a_full_disk_is_reported_while_unpacking(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    archive = pack(tmp_path / "archive", MEMBERS, kind)
    monkeypatch.setattr(tarfile if kind == "tar.gz" else zipfile.shutil, "copyfileobj", full)  # type: ignore[attr-defined]
    with pytest.raises(UserError, match="the disk is full"):
        unpack(archive, tmp_path / "raw")
