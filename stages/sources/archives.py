"""Archives: fetched from a url or a path, checked by their md5, and unpacked with suspicion."""

import bz2
import errno
import gzip
import io
import lzma
import shutil
import stat
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Annotated, Any, Self
from urllib.parse import urlsplit
from urllib.request import url2pathname

import requests
import urllib3
from pydantic import StringConstraints, field_validator
from tqdm import tqdm

from stages.errors import TemporaryError, UserError
from stages.files import digest
from stages.params import Section

CONNECT_SECONDS, READ_SECONDS = 10, 60
PIECE = 1 << 20  # bytes: how much is copied at once, and the most that any one header of a tar may hold

# 0, 2, 4, 8 and 16 seconds of patience, or what the server's Retry-After asks for, up to five minutes.
RETRY = urllib3.Retry(
    total=5,
    status_forcelist={429, 500, 502, 503, 504},
    backoff_factor=1,
    backoff_jitter=1,
    retry_after_max=300,
)

# Photographs hardly shrink when packed, lists and trimaps some twenty times; a bomb grows a thousand times.
MOST_GROWTH = 100
ALWAYS_FINE = 8 << 30  # bytes: no archive is called a bomb for less

LITTER = {"__MACOSX", ".DS_Store"}
OPENERS: dict[bytes, Callable[..., Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
}
ZIP = (b"PK\x03\x04", b"PK\x05\x06")
DAMAGED = (
    EOFError,
    zlib.error,
    lzma.LZMAError,
    tarfile.TarError,
    zipfile.BadZipFile,
    ValueError,  # tarfile: numbers and names that are none
    RecursionError,  # tarfile: headers of headers of headers
    OSError,  # bz2; those of the disk are told before
)

ODD_KIND = "is neither a plain file nor a folder (a link, a device, a pipe or a file with holes)"
BOMB = "it would unpack to far more than archives of pictures do"


class Archive(Section):
    """A packed file and the sum of its bytes, as params.yaml names it."""

    url: str  # http(s)://, file://, or a path, absolute or relative to the project's root
    md5: Annotated[str, StringConstraints(pattern="^[0-9a-fA-F]{32}$", to_lower=True)]

    @field_validator("url")
    @classmethod
    def _reachable_in_principle(cls, url: str) -> str:
        parts = urlsplit(url)
        if "://" in url and parts.scheme not in ("http", "https", "file"):
            raise ValueError("use http://, https://, file:// or a path")
        if parts.scheme == "file" and parts.netloc not in ("", "localhost"):
            raise ValueError("file:// takes a whole path, with three slashes: file:///data/images.tar.gz")
        return url


def fetch(archive: Archive, folder: Path) -> Path:
    """The archive as a local file whose md5 is right.

    A path or a file:// url is used where it lies and never altered. Anything else is downloaded to
    ``folder``; one that was cut off, even in an earlier run, goes on from where it stopped.

    Raises UserError where the file is missing, the server says no, the disk is full, or the md5 is wrong (a
    downloaded file with a wrong md5 is kept aside), and TemporaryError where the server can't be reached.
    """
    local = _own_file(archive)
    if local is None:
        with _disk_errors_told(folder):
            return _downloaded(archive, folder)
    if not local.is_file():
        raise UserError(f"{local} is not a file (looked from {Path.cwd()}); correct the url in params.yaml.")
    with _disk_errors_told(local):
        actual = digest(local, "md5")
    if actual != archive.md5:
        raise UserError(
            f"{local} has the md5 {actual}, but params.yaml says {archive.md5}. The file is left as it is; "
            "take a whole copy, or correct the md5 if this is the archive that you mean."
        )
    return local


def discard(archive: Archive, folder: Path) -> None:
    """Delete what `fetch` downloaded to ``folder``, once it is unpacked.

    It takes the archive, not a file: where the url is a path, there is no download, and nothing is deleted.
    """
    if _own_file(archive) is None:
        _place(archive, folder).unlink(missing_ok=True)


def _own_file(archive: Archive) -> Path | None:
    """The user's own file that the url points at; None where it is to be downloaded."""
    parts = urlsplit(archive.url)
    if parts.scheme in ("http", "https"):
        return None
    return Path(url2pathname(parts.path) if parts.scheme == "file" else archive.url).expanduser()


def _place(archive: Archive, folder: Path) -> Path:
    """Where a download goes. The sum in its name tells two archives of the same name apart."""
    return folder / f"{archive.md5[:8]}-{PurePosixPath(urlsplit(archive.url).path).name}"


def _downloaded(archive: Archive, folder: Path) -> Path:
    place = _place(archive, folder)
    if place.exists() and digest(place, "md5") == archive.md5:
        return place
    folder.mkdir(parents=True, exist_ok=True)
    part = place.with_name(f"{place.name}.part")
    glued = _download(archive.url, part)
    actual = digest(part, "md5")
    if actual != archive.md5 and glued:
        # The file at the server may have changed between its first bytes and its last.
        print(f"{archive.url}: the pieces do not fit together; once more from the beginning", file=sys.stderr)
        part.unlink()
        _download(archive.url, part)
        actual = digest(part, "md5")
    if actual != archive.md5:
        aside = part.replace(place.with_name(f"{place.name}.wrong-md5"))
        raise UserError(
            f"{archive.url} came with the md5 {actual}, but params.yaml says {archive.md5}. "
            f"What came is kept as {aside}; look whether it is the archive, and correct the url or the md5."
        )
    return part.replace(place)


def _download(url: str, part: Path) -> bool:
    """Append to ``part`` until the server has no more. Returns whether it holds pieces of several answers."""
    retry = RETRY
    with requests.Session() as session:
        while True:
            have = part.stat().st_size if part.exists() else 0
            busy = None
            # Packed is what the md5 is of: no server shall pack it once more for the journey.
            headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
            try:
                with session.get(
                    url, headers=headers, stream=True, timeout=(CONNECT_SECONDS, READ_SECONDS)
                ) as response:
                    if response.status_code not in RETRY.status_forcelist:
                        return _receive(response, part, have)
                    reason = f"{response.status_code} {response.reason}"
                    busy = response.raw
            except (requests.ConnectionError, requests.Timeout, urllib3.exceptions.HTTPError) as error:
                reason = _root(error)
            except requests.RequestException as error:
                raise UserError(f"{url} can't be fetched: {error}. Correct the url in params.yaml.") from None
            try:
                retry = retry.increment("GET", url, response=busy)
                print(f"{urlsplit(url).hostname}: {reason}; trying again", file=sys.stderr)
                retry.sleep(busy)
            except (urllib3.exceptions.MaxRetryError, urllib3.exceptions.InvalidHeader):
                raise TemporaryError(_gave_up(url, part, reason)) from None


def _receive(response: requests.Response, part: Path, have: int) -> bool:
    """Append an answer to the ``have`` bytes of ``part``, or start over; returns whether it was appended."""
    if have and response.status_code == 416:
        return True  # there is no more than this; the md5 will tell whether it is what was meant
    if not response.ok:
        raise UserError(
            f"{response.url} answers {response.status_code} {response.reason}. "
            "Correct the url in params.yaml, or point it at a mirror or a copy (a path will do)."
        )
    goes_on = have > 0 and response.status_code == 206
    if goes_on and not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
        part.unlink()
        raise urllib3.exceptions.ProtocolError("the server sent another range than the one asked for")
    start = have if goes_on else 0
    length = response.headers.get("Content-Length", "")
    with (
        part.open("ab" if goes_on else "wb") as file,
        tqdm(
            desc=f"download {urlsplit(response.url).path.rpartition('/')[2]}",
            initial=start,
            total=start + int(length) if length.isdigit() else None,
            unit="B",
            unit_scale=True,
            mininterval=1,
        ) as progress,
    ):
        # Not iter_content: it would undo the packing of a .gz that a server labels as Content-Encoding.
        for piece in response.raw.stream(1 << 16, decode_content=False):
            file.write(piece)
            progress.update(len(piece))
    return goes_on


def _gave_up(url: str, part: Path, reason: str) -> str:
    kept = f" What came so far stays in {part} and need not come again." if part.exists() else ""
    return (
        f"{urlsplit(url).hostname} can't be reached or breaks off ({reason}): {url}\n"
        f"Check the network, or point the url in params.yaml at a mirror or a copy (a path will do).{kept}"
    )


def _root(error: BaseException) -> str:
    """What an error of the network comes from, without the layers that it came through."""
    while error.__context__ is not None:
        error = error.__context__
    return str(error) or type(error).__name__


@contextmanager
def _disk_errors_told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UserError(f"the disk is full at {path}; free some space and run again.") from None
        if error.errno is None:  # not from the disk: libraries derive other errors from this one, too
            raise
        raise UserError(f"{error.filename or path}: {error.strerror}.") from None


class _RefusedError(Exception):
    """An archive holds what no data set needs."""


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a tar (plain, .gz, .bz2 or .xz) or a zip, told by content, into ``folder``, made if missing.

    Members keep their paths. Only plain files and folders with paths inside of ``folder`` are taken, and
    nothing that exists is written over, be it from this archive or from one before it. The litter of macOS
    (``._*``, ``__MACOSX``, ``.DS_Store``) is left out; files get ordinary modes and the present time.

    Raises UserError, naming archive and member, where anything else is in it, where it is cut off, damaged or
    a bomb, or where the disk is full. What was unpacked until then stays, so give it a folder that is thrown
    away on failure, as `stages.files.whole` does.
    """
    name = ""
    try:
        with _disk_errors_told(folder):
            folder.mkdir(parents=True, exist_ok=True)
            members = _members(archive, folder)
            for name, source in tqdm(members, f"unpack {archive.name}", unit=" files", mininterval=1):
                path = _safe(name)
                if any(part in LITTER or part.startswith("._") for part in path.parts):
                    continue
                try:
                    _put(source, folder / path)
                except (FileExistsError, NotADirectoryError):
                    raise _RefusedError(f"{name!r} lies where another file is already unpacked") from None
    except _RefusedError as refusal:
        raise UserError(f"{archive}: {refusal}; nothing of it is used.") from None
    except DAMAGED as error:
        where = f"near {name!r}" if name else "at its beginning, or neither a tar nor a zip"
        raise UserError(f"{archive} is cut off or damaged {where} ({error}); take a whole copy.") from None


def _members(archive: Path, folder: Path) -> Iterator[tuple[str, IO[bytes] | None]]:
    """Name and bytes of every member, one after the other; None in place of bytes for a folder."""
    with archive.open("rb") as file:
        beginning = file.read(6)
    if beginning.startswith(ZIP):
        return _zip_members(archive)
    openers = [opener for magic, opener in OPENERS.items() if beginning.startswith(magic)]
    return _tar_members(archive, openers[0] if openers else open, folder)


def _zip_members(archive: Path) -> Iterator[tuple[str, IO[bytes] | None]]:
    with zipfile.ZipFile(archive) as file:
        members = file.infolist()
        if sum(member.file_size for member in members) > _bound(archive):
            raise _RefusedError(BOMB)
        for member in members:
            # The upper half of the attributes is the Unix mode; other systems leave it empty.
            if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _RefusedError(f"{member.filename!r} {ODD_KIND}")
            if member.is_dir():
                yield member.filename, None
                continue
            try:
                source = file.open(member)
            except RuntimeError:
                raise _RefusedError(
                    f"{member.filename!r} is encrypted or packed by an unknown method"
                ) from None
            with source:  # never gives more than file_size, and checks the CRC
                yield member.filename, source


def _tar_members(
    archive: Path, opener: Callable[..., Any], folder: Path
) -> Iterator[tuple[str, IO[bytes] | None]]:
    with opener(archive, "rb") as file:
        stream = _Onwards(file, _bound(archive))
        with tarfile.TarFile(fileobj=stream, tarinfo=_Header) as tar:
            for member in tar:
                if not (member.isdir() or member.isreg()) or member.issparse():
                    raise _RefusedError(f"{member.name!r} {ODD_KIND}")
                if member.size < 0:
                    raise tarfile.ReadError(f"{member.name} has a size below zero")
                _safe(member.name)
                tarfile.data_filter(member, str(folder))  # a second opinion
                yield member.name, None if member.isdir() else tar.extractfile(member)
        while stream.read(PIECE):  # to the very end, where the sum of the packed bytes is checked
            pass


class _Header(tarfile.TarInfo):
    """The header of a member. tarfile takes a broken or missing one for the end of the archive; we do not."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        try:
            return super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if buf == bytes(tarfile.BLOCKSIZE):  # the real end
                raise
            raise tarfile.ReadError(str(error)) from None


class _Onwards(io.RawIOBase):
    """An unpacked stream that is read onwards only, in sane pieces, and not beyond ``bound`` bytes."""

    def __init__(self, stream: IO[bytes], bound: int) -> None:
        self.stream, self.bound, self.position = stream, bound, 0

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= PIECE:
            raise tarfile.ReadError(f"a header of {size} bytes")
        data = self.stream.read(size)
        self.position += len(data)
        if self.position > self.bound:
            raise _RefusedError(BOMB)
        return data

    def tell(self) -> int:
        return self.position

    def seek(self, position: int, whence: int = io.SEEK_SET) -> int:
        if position < self.position:
            raise tarfile.ReadError("a header that points backwards")
        while self.position < position and self.read(min(PIECE, position - self.position)):
            pass
        return self.position


def _bound(archive: Path) -> int:
    return max(ALWAYS_FINE, MOST_GROWTH * archive.stat().st_size)


def _safe(name: str) -> Path:
    """A member's path below the folder, on any system: no root, no drive, no way up, no backslash."""
    windows = PureWindowsPath(name)
    if windows.anchor or ".." in windows.parts or "\\" in name or "\0" in name:
        raise _RefusedError(f"{name!r} is not a plain path inside of a folder")
    return Path(name)


def _put(source: IO[bytes] | None, target: Path) -> None:
    """Write one member; "x" lets the disk say what is the same name, whatever its rules of case are."""
    if source is None:
        target.mkdir(parents=True, exist_ok=True)
        return
    if not target.parent.is_dir():
        target.parent.mkdir(parents=True)
    with target.open("xb") as file:
        shutil.copyfileobj(source, file, PIECE)
