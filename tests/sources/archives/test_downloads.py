"""Archives from a server that misbehaves, and from paths."""

import gzip
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from pets.core.errors import TemporaryError, UserError
from pets.sources.archives import Archive, downloads, fetch_archive
from tests.sources.server import CONTENT, Answer, Server, cut, md5, serving, status


@pytest.fixture(autouse=True)
def _no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "RETRY", downloads.RETRY.new(backoff_factor=0, backoff_jitter=0))


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def part_of(archive: Archive, folder: Path, content: bytes) -> Path:
    """A cut-off download of an earlier run."""
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{archive.md5}.part"
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
def test_a_path_is_used_where_it_is_and_never_changed(
    spelling: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    own = tmp_path / "my downloads" / "images.tar.gz"
    own.parent.mkdir()
    own.write_bytes(CONTENT)
    before = own.stat()
    url = {"relative": "my downloads/images.tar.gz", "absolute": str(own), "file url": own.as_uri()}[spelling]
    archive = Archive(url=url, md5=md5(CONTENT).upper())

    assert fetch_archive(archive, tmp_path / "archives").samefile(own)
    assert fetch_archive(archive, own.parent).samefile(own)  # even where it is among the downloads

    assert not (tmp_path / "archives").exists()
    assert own.read_bytes() == CONTENT
    assert own.stat().st_mtime_ns == before.st_mtime_ns
    assert [each.name for each in own.parent.iterdir()] == ["images.tar.gz"]


def test_a_path_with_a_wrong_md5_is_left_as_it_is(tmp_path: Path) -> None:
    own = tmp_path / "images.tar.gz"
    own.write_bytes(CONTENT)
    with pytest.raises(UserError) as raised:
        fetch_archive(Archive(url=str(own), md5="0" * 32), tmp_path / "downloads")
    assert md5(CONTENT) in str(raised.value)
    assert "0" * 32 in str(raised.value)
    assert str(own) in str(raised.value)
    assert own.read_bytes() == CONTENT
    assert list(tmp_path.iterdir()) == [own]


@pytest.mark.parametrize("url", ["nowhere/images.tar.gz", "file:///nowhere/images.tar.gz", "."])
def test_a_path_that_is_not_a_file_is_reported(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="is not a file"):
        fetch_archive(Archive(url=url, md5="0" * 32), tmp_path / "downloads")


# A download


def test_a_download_is_checked_and_kept(server: Server, tmp_path: Path) -> None:
    archive, folder = server.archive(), tmp_path / "new" / "archives"
    local = fetch_archive(archive, folder)
    assert local == folder / f"{md5(CONTENT)}-images.tar.gz"
    assert local.read_bytes() == CONTENT
    assert list(folder.iterdir()) == [local]
    assert fetch_archive(archive, folder) == local
    assert server.ranges == [None]  # the second time nothing was requested


def test_the_same_archive_at_another_url_is_not_downloaded_again(server: Server, tmp_path: Path) -> None:
    local = fetch_archive(server.archive(), tmp_path)
    assert fetch_archive(server.archive("mirror/pets.tgz"), tmp_path) == local
    assert server.ranges == [None]


def test_two_stages_that_need_the_same_archive_download_it_once(server: Server, tmp_path: Path) -> None:
    server.plan = [Answer.pause]  # both are under way by then
    found: list[Path] = []
    threads = [
        threading.Thread(target=lambda: found.append(fetch_archive(server.archive(), tmp_path)))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found[0] == found[1]
    assert found[0].read_bytes() == CONTENT
    assert server.ranges == [None]


def test_a_kept_download_that_was_changed_is_downloaded_again(server: Server, tmp_path: Path) -> None:
    fetch_archive(server.archive(), tmp_path).write_bytes(b"rotten")
    local = fetch_archive(server.archive(), tmp_path)
    assert local.read_bytes() == CONTENT
    assert list(tmp_path.iterdir()) == [local]


def test_archives_of_the_same_name_are_kept_apart(server: Server, tmp_path: Path) -> None:
    first = fetch_archive(server.archive("a/data.zip"), tmp_path)
    server.content = CONTENT[::-1]
    second = fetch_archive(server.archive("b/data.zip", CONTENT[::-1]), tmp_path)
    assert first.read_bytes() == second.read_bytes()[::-1] == CONTENT


def test_an_encoded_response_is_refused(server: Server, tmp_path: Path) -> None:
    server.content = gzip.compress(CONTENT)
    server.plan = [lambda answer: answer.serve(Content_Encoding="gzip")]
    with pytest.raises(UserError, match="Content-Encoding: gzip") as raised:
        fetch_archive(server.archive(content=server.content), tmp_path)
    assert server.url() in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not list(tmp_path.iterdir())


def test_a_broken_connection_resumes(server: Server, tmp_path: Path) -> None:
    server.plan = [cut(100_001), cut(200_002)]
    assert fetch_archive(server.archive(), tmp_path).read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=100001-", "bytes=300003-"]
    assert server.bytes_served == len(CONTENT)


def test_a_silent_connection_resumes(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "READ_SECONDS", 0.2)
    server.plan = [Answer.stall]
    assert fetch_archive(server.archive(), tmp_path).read_bytes() == CONTENT
    assert len(server.ranges) == 2


def test_a_download_of_an_earlier_run_resumes(server: Server, tmp_path: Path) -> None:
    part = part_of(server.archive(), tmp_path, CONTENT[:300_000])
    assert fetch_archive(server.archive(), tmp_path).read_bytes() == CONTENT
    assert server.ranges == ["bytes=300000-"]
    assert server.bytes_served == len(CONTENT) - 300_000
    assert not part.exists()


def test_a_part_that_is_complete_is_used(server: Server, tmp_path: Path) -> None:
    part_of(server.archive(), tmp_path, CONTENT)
    assert fetch_archive(server.archive(), tmp_path).read_bytes() == CONTENT
    assert server.bytes_served == 0


def test_a_part_that_is_too_long_starts_over(server: Server, tmp_path: Path) -> None:
    part_of(server.archive(), tmp_path, CONTENT + b"more")
    assert fetch_archive(server.archive(), tmp_path).read_bytes() == CONTENT
    assert server.ranges == [f"bytes={len(CONTENT) + 4}-", None]


def test_a_server_without_ranges_starts_over(server: Server, tmp_path: Path) -> None:
    server.plan = [cut(100_000), cut(len(CONTENT), ranges=False)]
    assert fetch_archive(server.archive(), tmp_path).read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=100000-"]


def test_a_server_with_another_range_starts_over(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.plan = [cut(100_000), cut(len(CONTENT), shift=10)]
    assert fetch_archive(server.archive(), tmp_path).read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=100000-", None]
    assert "another range" in capsys.readouterr().err


def test_a_file_that_changed_on_the_server_is_downloaded_afresh(server: Server, tmp_path: Path) -> None:
    part_of(server.archive(), tmp_path, b"of the older file")
    assert fetch_archive(server.archive(), tmp_path).read_bytes() == CONTENT
    assert server.ranges == ["bytes=17-", None]


@pytest.mark.parametrize("earlier", [b"", b"of the older file"])
def test_a_wrong_md5_is_reported_and_the_file_kept_aside(
    earlier: bytes, server: Server, tmp_path: Path
) -> None:
    archive = Archive(url=server.url(), md5="0" * 32)
    if earlier:
        part_of(archive, tmp_path, earlier)
    with pytest.raises(UserError) as raised:
        fetch_archive(archive, tmp_path)
    [kept] = tmp_path.iterdir()
    assert kept.name == f"{'0' * 32}.wrong-md5"
    assert kept.read_bytes() == CONTENT
    for said in (md5(CONTENT), "0" * 32, str(kept), archive.url):
        assert said in str(raised.value)


def test_a_busy_server_is_asked_again_when_it_says(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    server.plan = [status(503, Retry_After="7"), status(502), status(429, Retry_After="99999")]
    assert fetch_archive(server.archive(), tmp_path).read_bytes() == CONTENT
    assert slept == [7, 300]


def test_an_invalid_retry_after_ends_the_retries(server: Server, tmp_path: Path) -> None:
    server.plan = [status(503, Retry_After="soon")]
    with pytest.raises(TemporaryError, match="503 Service Unavailable"):
        fetch_archive(server.archive(), tmp_path)


def test_retries_end(server: Server, tmp_path: Path) -> None:
    server.always = status(503)
    with pytest.raises(TemporaryError, match=r"503 Service Unavailable.*\n.*a local copy") as raised:
        fetch_archive(server.archive(), tmp_path)
    assert server.url() in str(raised.value)
    assert len(server.ranges) == 6


def test_a_server_that_always_breaks_off_leaves_the_part(server: Server, tmp_path: Path) -> None:
    server.always = cut(70_000, ranges=False)
    with pytest.raises(TemporaryError, match=r"127\.0\.0\.1 .*breaks off") as raised:
        fetch_archive(server.archive(), tmp_path)
    [part] = tmp_path.iterdir()
    assert str(part) in str(raised.value)
    assert part.read_bytes() == CONTENT[:70_000]


@pytest.mark.parametrize("code", [403, 404, 410])
def test_a_refusal_is_reported_at_once(code: int, server: Server, tmp_path: Path) -> None:
    server.always = status(code)
    with pytest.raises(UserError, match=f"answers {code} .*mirror") as raised:
        fetch_archive(server.archive(), tmp_path)
    assert not isinstance(raised.value, TemporaryError)
    assert len(server.ranges) == 1
    assert not list(tmp_path.iterdir())


def test_an_unreachable_host_is_reported_and_the_part_kept(closed_port: int, tmp_path: Path) -> None:
    archive = Archive(url=f"http://127.0.0.1:{closed_port}/images.tar.gz", md5="0" * 32)
    part = part_of(archive, tmp_path, b"begun")
    with pytest.raises(TemporaryError) as raised:
        fetch_archive(archive, tmp_path)
    for said in ("127.0.0.1", "refused", archive.url, "network", "mirror", "a path", str(part)):
        assert said in str(raised.value)
    assert str(raised.value).count("\n") <= 1
    assert part.read_bytes() == b"begun"


def test_an_invalid_url_is_reported(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="can't be fetched"):
        fetch_archive(Archive(url="http:///images.tar.gz", md5="0" * 32), tmp_path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a disk that is always full")
def test_a_full_disk_is_reported(server: Server, tmp_path: Path) -> None:
    part = part_of(server.archive(), tmp_path, b"")
    part.unlink()
    part.symlink_to("/dev/full")
    with pytest.raises(UserError, match="the disk is full"):
        fetch_archive(server.archive(), tmp_path)


# Without an md5


def test_without_an_md5_the_file_is_refused_and_its_md5_named(server: Server, tmp_path: Path) -> None:
    """A download is kept: neither asking again nor writing the md5 down fetches it again."""
    unchecked = server.archive().model_copy(update={"md5": None})
    for _ in range(2):
        with pytest.raises(
            UserError, match=f"has the md5 {md5(CONTENT)}, and params.yaml gives none"
        ) as error:
            fetch_archive(unchecked, tmp_path)
        assert "\n" not in str(error.value)
    assert server.bytes_served == len(CONTENT)
    requests = len(server.ranges)
    found = fetch_archive(server.archive(), tmp_path)
    assert found.read_bytes() == CONTENT
    assert [each.name for each in tmp_path.iterdir()] == [f"{md5(CONTENT)}-images.tar.gz"]
    assert len(server.ranges) == requests


def test_so_is_a_file_at_a_path(tmp_path: Path) -> None:
    (tmp_path / "images.tar").write_bytes(CONTENT)
    with pytest.raises(UserError, match=f"images.tar has the md5 {md5(CONTENT)}, and params.yaml gives none"):
        fetch_archive(Archive(url=str(tmp_path / "images.tar")), tmp_path / "kept")
    assert [each.name for each in tmp_path.iterdir()] == ["images.tar"]
