"""Archives from a server that behaves badly, from paths, and with everything in them that should not be."""

import errno
import gzip
import hashlib
import io
import ntpath
import os
import posixpath
import socket
import stat
import tarfile
import tempfile
import threading
import time
import warnings
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from stages.errors import UserError
from stages.sources import archives
from stages.sources.archives import Archive, discard, fetch, unpack

CONTENT = bytes(range(256)) * 2000  # 512,000 bytes


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "RETRY", archives.RETRY.new(backoff_factor=0, backoff_jitter=0))


# What a server does


class Server(ThreadingHTTPServer):
    """Serves ``content`` under any path. ``plan`` says how requests are answered, then ``always``."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.content = CONTENT
        self.plan: list[Callable[[Answer], None]] = []
        self.always: Callable[[Answer], None] = Answer.serve
        self.ranges: list[str | None] = []  # the Range of every request
        self.bytes_served = 0
        self.closing = threading.Event()

    def url(self, name: str = "images.tar.gz") -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/data/{name}"

    def archive(self, name: str = "images.tar.gz", content: bytes = CONTENT) -> Archive:
        return Archive(url=self.url(name), md5=md5(content))


class Answer(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.ranges.append(self.headers["Range"])
        answer = self.server.plan.pop(0) if self.server.plan else self.server.always
        answer(self)

    def log_message(self, *_: object) -> None:
        pass

    def serve(self, most: int | None = None, ranges: bool = True, shift: int = 0, **headers: str) -> None:
        content = self.server.content
        asked = self.headers["Range"]
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and ranges else 0
        if start and start >= len(content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        begin = max(start - shift, 0) if start else 0
        body = content[begin:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.server.bytes_served += len(body[:most])
        self.wfile.write(body[:most])

    def refuse(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def stall(self) -> None:
        self.serve(most=1000)
        self.wfile.flush()
        self.server.closing.wait(30)


def cut(most: int, **options: Any) -> Callable[[Answer], None]:
    return lambda answer: answer.serve(most, **options)


def status(code: int, **headers: str) -> Callable[[Answer], None]:
    return lambda answer: answer.refuse(code, **headers)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.closing.set()
        running.shutdown()
        thread.join()


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def part_of(archive: Archive, folder: Path, content: bytes) -> Path:
    """A cut-off download of an earlier run."""
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{archive.md5[:8]}-{archive.url.rpartition('/')[2]}.part"
    part.write_bytes(content)
    return part


# params.yaml


def test_an_entry_is_checked_before_anything_is_fetched() -> None:
    assert Archive(url="images.tar.gz", md5="ABCDEF" + "0" * 26).md5 == "abcdef" + "0" * 26
    for wrong in ("", "abc", "g" * 32, "0" * 33):
        with pytest.raises(ValidationError, match="md5"):
            Archive(url="images.tar.gz", md5=wrong)
    for url in ("ftp://host/x.zip", "s3://bucket/x.zip", "file://data/x.zip"):
        with pytest.raises(ValidationError, match="url"):
            Archive(url=url, md5="0" * 32)


# A path


@pytest.mark.parametrize("spelling", ["relative", "absolute", "file url"])
def test_a_path_is_used_where_it_lies_and_never_altered(
    spelling: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    own = tmp_path / "my downloads" / "images.tar.gz"
    own.parent.mkdir()
    own.write_bytes(CONTENT)
    before = own.stat()
    url = {"relative": "my downloads/images.tar.gz", "absolute": str(own), "file url": own.as_uri()}[spelling]
    archive = Archive(url=url, md5=md5(CONTENT).upper())

    assert fetch(archive, own.parent).samefile(own)
    discard(archive, own.parent)  # even where the user keeps it among the downloads

    assert own.read_bytes() == CONTENT
    assert own.stat().st_mtime_ns == before.st_mtime_ns
    assert [each.name for each in own.parent.iterdir()] == ["images.tar.gz"]


def test_a_path_with_a_wrong_md5_is_left_as_it_is(tmp_path: Path) -> None:
    own = tmp_path / "images.tar.gz"
    own.write_bytes(CONTENT)
    with pytest.raises(UserError) as told:
        fetch(Archive(url=str(own), md5="0" * 32), tmp_path / "downloads")
    assert md5(CONTENT) in str(told.value)
    assert "0" * 32 in str(told.value)
    assert str(own) in str(told.value)
    assert own.read_bytes() == CONTENT
    assert list(tmp_path.iterdir()) == [own]


@pytest.mark.parametrize("url", ["nowhere/images.tar.gz", "file:///nowhere/images.tar.gz", "."])
def test_a_path_that_is_no_file_is_told(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="is not a file"):
        fetch(Archive(url=url, md5="0" * 32), tmp_path / "downloads")


# A download


def test_a_download_is_checked_kept_and_discarded(server: Server, tmp_path: Path) -> None:
    archive = server.archive()
    local = fetch(archive, tmp_path)
    assert local.read_bytes() == CONTENT
    assert list(tmp_path.iterdir()) == [local]
    assert fetch(archive, tmp_path) == local
    assert server.ranges == [None]  # the second time nothing was asked for
    (tmp_path / "mine.txt").touch()
    discard(archive, tmp_path)
    discard(archive, tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == ["mine.txt"]


def test_a_kept_download_that_rotted_comes_again(server: Server, tmp_path: Path) -> None:
    fetch(server.archive(), tmp_path).write_bytes(b"rotten")
    assert fetch(server.archive(), tmp_path).read_bytes() == CONTENT


def test_archives_of_the_same_name_do_not_meet(server: Server, tmp_path: Path) -> None:
    first = fetch(server.archive("a/data.zip"), tmp_path)
    server.content = CONTENT[::-1]
    second = fetch(server.archive("b/data.zip", CONTENT[::-1]), tmp_path)
    assert first.read_bytes() == second.read_bytes()[::-1] == CONTENT


def test_what_a_server_labels_as_packed_stays_packed(server: Server, tmp_path: Path) -> None:
    server.content = gzip.compress(CONTENT)
    server.plan = [lambda answer: answer.serve(Content_Encoding="gzip")]
    local = fetch(server.archive(content=server.content), tmp_path)
    assert local.read_bytes() == server.content


def test_a_cut_connection_goes_on_from_there(server: Server, tmp_path: Path) -> None:
    server.plan = [cut(100_001), cut(200_002)]
    assert fetch(server.archive(), tmp_path).read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=100001-", "bytes=300003-"]
    assert server.bytes_served == len(CONTENT)


def test_a_silent_connection_goes_on_from_there(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "READ_SECONDS", 0.2)
    server.plan = [Answer.stall]
    assert fetch(server.archive(), tmp_path).read_bytes() == CONTENT
    assert len(server.ranges) == 2


def test_an_earlier_run_goes_on_from_there(server: Server, tmp_path: Path) -> None:
    part = part_of(server.archive(), tmp_path, CONTENT[:300_000])
    assert fetch(server.archive(), tmp_path).read_bytes() == CONTENT
    assert server.ranges == ["bytes=300000-"]
    assert server.bytes_served == len(CONTENT) - 300_000
    assert not part.exists()


def test_a_part_that_was_whole_already_is_taken(server: Server, tmp_path: Path) -> None:
    part_of(server.archive(), tmp_path, CONTENT)
    assert fetch(server.archive(), tmp_path).read_bytes() == CONTENT
    assert server.bytes_served == 0


def test_a_part_that_is_too_long_starts_over(server: Server, tmp_path: Path) -> None:
    part_of(server.archive(), tmp_path, CONTENT + b"more")
    assert fetch(server.archive(), tmp_path).read_bytes() == CONTENT
    assert server.ranges == [f"bytes={len(CONTENT) + 4}-", None]


def test_a_server_without_ranges_starts_over(server: Server, tmp_path: Path) -> None:
    server.plan = [cut(100_000), cut(len(CONTENT), ranges=False)]
    assert fetch(server.archive(), tmp_path).read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=100000-"]


def test_a_server_with_another_range_starts_over(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.plan = [cut(100_000), cut(len(CONTENT), shift=10)]
    assert fetch(server.archive(), tmp_path).read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=100000-", None]
    assert "another range" in capsys.readouterr().err


def test_a_file_that_changed_meanwhile_comes_afresh(server: Server, tmp_path: Path) -> None:
    part_of(server.archive(), tmp_path, b"of the older file")
    assert fetch(server.archive(), tmp_path).read_bytes() == CONTENT
    assert server.ranges == ["bytes=17-", None]


@pytest.mark.parametrize("earlier", [b"", b"of the older file"])
def test_a_wrong_md5_is_told_and_the_file_kept_aside(earlier: bytes, server: Server, tmp_path: Path) -> None:
    archive = Archive(url=server.url(), md5="0" * 32)
    if earlier:
        part_of(archive, tmp_path, earlier)
    with pytest.raises(UserError) as told:
        fetch(archive, tmp_path)
    [kept] = tmp_path.iterdir()
    assert kept.name == "00000000-images.tar.gz.wrong-md5"
    assert kept.read_bytes() == CONTENT
    for said in (md5(CONTENT), "0" * 32, str(kept), archive.url):
        assert said in str(told.value)


def test_a_busy_server_is_asked_when_it_says(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    server.plan = [status(503, Retry_After="7"), status(502), status(429, Retry_After="99999")]
    assert fetch(server.archive(), tmp_path).read_bytes() == CONTENT
    assert slept == [7, 300]


def test_a_busy_server_that_says_nonsense_is_given_up(server: Server, tmp_path: Path) -> None:
    server.plan = [status(503, Retry_After="soon")]
    with pytest.raises(UserError, match="503 Service Unavailable"):
        fetch(server.archive(), tmp_path)


def test_patience_ends(server: Server, tmp_path: Path) -> None:
    server.always = status(503)
    with pytest.raises(UserError, match=r"503 Service Unavailable.*\n.*a copy") as told:
        fetch(server.archive(), tmp_path)
    assert server.url() in str(told.value)
    assert len(server.ranges) == 6


def test_a_server_that_always_cuts_is_given_up_and_the_part_kept(server: Server, tmp_path: Path) -> None:
    server.always = cut(70_000, ranges=False)
    with pytest.raises(UserError, match=r"127\.0\.0\.1 .*breaks off") as told:
        fetch(server.archive(), tmp_path)
    [part] = tmp_path.iterdir()
    assert str(part) in str(told.value)
    assert part.read_bytes() == CONTENT[:70_000]


@pytest.mark.parametrize("code", [403, 404, 410])
def test_a_no_is_taken_at_once(code: int, server: Server, tmp_path: Path) -> None:
    server.always = status(code)
    with pytest.raises(UserError, match=f"answers {code} .*mirror"):
        fetch(server.archive(), tmp_path)
    assert len(server.ranges) == 1
    assert not list(tmp_path.iterdir())


def test_an_unreachable_host_is_told_and_the_part_kept(closed_port: int, tmp_path: Path) -> None:
    archive = Archive(url=f"http://127.0.0.1:{closed_port}/images.tar.gz", md5="0" * 32)
    part = part_of(archive, tmp_path, b"begun")
    with pytest.raises(UserError) as told:
        fetch(archive, tmp_path)
    for said in ("127.0.0.1", "refused", archive.url, "network", "mirror", "a path", str(part)):
        assert said in str(told.value)
    assert str(told.value).count("\n") <= 1
    assert part.read_bytes() == b"begun"


def test_a_url_that_can_never_work_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="can't be fetched"):
        fetch(Archive(url="http:///images.tar.gz", md5="0" * 32), tmp_path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a disk that is always full")
def test_a_full_disk_is_told(server: Server, tmp_path: Path) -> None:
    part = part_of(server.archive(), tmp_path, b"")
    part.unlink()
    part.symlink_to("/dev/full")
    with pytest.raises(UserError, match="the disk is full"):
        fetch(server.archive(), tmp_path)


# What is in an archive

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
    with pytest.raises(UserError) as told:
        unpack(archive, folder)
    assert str(archive) in str(told.value)
    return str(told.value)


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
def test_no_name_leads_out_of_the_folder(pieces: list[str], kind: str) -> None:
    name = "".join(pieces)
    with tempfile.TemporaryDirectory() as scratch:
        deep = Path(scratch, "1", "2", "3", "4", "5", "6", "7", "raw")
        deep.mkdir(parents=True)
        archive = pack(Path(scratch, "archive"), {name: b"x"}, kind)
        told = ""
        try:
            unpack(archive, deep)
        except UserError as error:
            told = str(error)
        assert repr(name) in told or not (told or leaves(name))
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


def test_a_tar_with_holes_is_refused(tmp_path: Path) -> None:
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
def test_a_zip_that_is_encrypted_or_packed_by_another_method_is_told(
    at: int, value: int, tmp_path: Path
) -> None:
    archive = pack(tmp_path / "a.zip", {"images/secret.jpg": b"1"}, "zip")
    data = bytearray(archive.read_bytes())
    data[data.index(b"PK\x03\x04") + at] = data[data.index(b"PK\x01\x02") + at + 2] = value
    archive.write_bytes(data)
    assert "'images/secret.jpg' is encrypted or packed by an unknown" in refusal(archive, tmp_path / "raw")


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
    assert f"{second!r} lies where another file is" in refusal(archive, tmp_path / "raw")
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
def test_litter_is_left_out(kind: str, tmp_path: Path) -> None:
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
def test_a_cut_off_archive_is_told(kind: str, share: float) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        archive = pack(Path(scratch, "archive"), MEMBERS, kind)
        data = archive.read_bytes()
        whole = len(data.rstrip(b"\0")) if kind == "tar" else len(data)  # a tar's padding says nothing
        archive.write_bytes(data[: int(whole * share)])
        with pytest.raises(UserError, match="cut off or damaged"):
            unpack(archive, Path(scratch, "raw"))


def test_a_tar_cut_between_two_members_is_told(tmp_path: Path) -> None:
    archive = pack(tmp_path / "a.tar", {"a": b"1", "b": b"2"}, "tar")
    archive.write_bytes(archive.read_bytes()[:1024])
    assert "near 'a'" in refusal(archive, tmp_path / "raw")


def test_a_cut_archive_whose_md5_is_right_is_told(server: Server, tmp_path: Path) -> None:
    packed = pack(tmp_path / "a.tar.gz", MEMBERS, "tar.gz").read_bytes()
    server.content = packed[: len(packed) * 2 // 3]
    local = fetch(server.archive(content=server.content), tmp_path)
    assert "near 'images/cat_" in refusal(local, tmp_path / "raw")


@settings(deadline=None, max_examples=120)
@given(st.sampled_from(KINDS), st.floats(0, 1, exclude_max=True), st.integers(1, 255))
def test_a_damaged_archive_is_told_or_does_no_harm(kind: str, share: float, change: int) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        archive = pack(Path(scratch, "archive"), MEMBERS, kind)
        data = bytearray(archive.read_bytes())
        data[int(len(data) * share)] ^= change
        archive.write_bytes(data)
        try:
            unpack(archive, Path(scratch, "raw"))
        except UserError:
            return
        if kind not in ("tar", "zip"):  # those two have no sum over everything
            assert files_in(Path(scratch, "raw")) == MEMBERS


def test_a_tar_with_a_broken_header_does_not_end_there(tmp_path: Path) -> None:
    archive = pack(tmp_path / "a.tar", {"a": b"1", "b": b"2", "c": b"3"}, "tar")
    data = bytearray(archive.read_bytes())
    data[1024] ^= 1  # the name of b, which its header's sum covers
    archive.write_bytes(data)
    with tarfile.open(archive) as lenient:
        assert lenient.getnames() == ["a"]
    assert "near 'a'" in refusal(archive, tmp_path / "raw")


@pytest.mark.parametrize("content", [b"", b"<html>Please log in</html>" * 100, os.urandom(5000)])
def test_what_is_no_archive_is_told(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.tar.gz").write_bytes(content)
    assert "neither a tar nor a zip" in refusal(tmp_path / "a.tar.gz", tmp_path / "raw")


def test_a_sum_of_the_packed_bytes_that_is_wrong_is_told(tmp_path: Path) -> None:
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
    monkeypatch.setattr(archives, "ALWAYS_FINE", 3 << 20)
    assert "unpack to far more" in refusal(archive, tmp_path / "raw")
    assert sum(map(len, files_in(tmp_path / "raw").values())) <= 3 << 20


def test_photographs_are_no_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "ALWAYS_FINE", 0)
    for kind in KINDS:
        unpack(pack(tmp_path / "archive", {"a": os.urandom(100_000)}, kind), tmp_path / kind)


def test_a_huge_header_is_not_read_into_memory(tmp_path: Path) -> None:
    archive = tmp_path / "a.tar.gz"
    header = tarfile.TarInfo("header")
    header.type, header.size = tarfile.XHDTYPE, 5 << 30
    archive.write_bytes(gzip.compress(header.tobuf() + bytes(10_000)))
    assert f"a header of {5 << 30} bytes" in refusal(archive, tmp_path / "raw")


@pytest.mark.parametrize("size", [-1, -512, -1024, -(1 << 40)])
def test_a_size_below_zero_is_no_endless_loop(size: int, tmp_path: Path) -> None:
    archive = pack(tmp_path / "a.tar", {"a": b"1"}, "tar")
    header = tarfile.TarInfo("b")
    header.size = size
    archive.write_bytes(archive.read_bytes()[:1024] + header.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    assert "near 'a' (b has" in refusal(archive, tmp_path / "raw")


def test_headers_of_headers_are_no_endless_depth(tmp_path: Path) -> None:
    archive = tmp_path / "a.tar.gz"
    header = tarfile.TarInfo("header")
    header.type = tarfile.GNUTYPE_LONGNAME
    archive.write_bytes(gzip.compress(header.tobuf() * 5000))
    assert "recursion" in refusal(archive, tmp_path / "raw")


@pytest.mark.parametrize(
    ("header", "told"),
    [({"path": "a\0b"}, "'a\\x00b' is not a plain path"), ({"GNU.sparse.map": "x"}, "damaged")],
)
def test_headers_of_nonsense_are_told(header: dict[str, str], told: str, tmp_path: Path) -> None:
    archive = tmp_path / "a.tar"
    with tarfile.open(archive, "w") as tar:
        member = tarfile.TarInfo("a")
        member.pax_headers = header
        tar.addfile(member)
    assert told in refusal(archive, tmp_path / "raw")


def test_a_full_disk_is_told_while_unpacking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    archive = pack(tmp_path / "archive", MEMBERS, "tar.gz")
    monkeypatch.setattr(archives.shutil, "copyfileobj", full)
    with pytest.raises(UserError, match="the disk is full"):
        unpack(archive, tmp_path / "raw")
