"""Archives fetched from a url or found by their path, checked by their md5, and kept for the next time."""

import errno
import fcntl
import hashlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Annotated, Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import requests
import urllib3
from pydantic import StringConstraints, field_validator
from tqdm import tqdm

from pets.core.errors import TemporaryError, UserError
from pets.core.files import checksum
from pets.core.params import Section

CONNECT_SECONDS, READ_SECONDS = 10, 60

# Waits of 0, 2, 4, 8 and 16 seconds, or what the server's Retry-After asks for, up to five minutes.
RETRY = urllib3.Retry(
    total=5,
    status_forcelist={429, 500, 502, 503, 504},
    backoff_factor=1,
    backoff_jitter=1,
    retry_after_max=300,
)


class Archive(Section):
    """A packed file and its md5, as params.yaml names it; without an md5 it is refused, and its md5 named."""

    url: str  # http(s)://, file://, or a path, absolute or relative to the project's root
    md5: Annotated[str, StringConstraints(pattern="^[0-9a-fA-F]{32}$", to_lower=True)] | None = None

    @field_validator("url")
    @classmethod
    def _supported(cls, url: str) -> str:
        parts = urlsplit(url)
        if "://" in url and parts.scheme not in ("http", "https", "file"):
            raise ValueError("use http://, https://, file:// or a path")
        if parts.scheme == "file" and parts.netloc not in ("", "localhost"):
            raise ValueError("file:// takes an absolute path, with three slashes: file:///data/images.tar.gz")
        return url

    def described(self, name: str, file: Path) -> dict[str, Any]:
        """What the report shows of it: ``name`` is what it holds, ``file`` the local copy."""
        return {"name": name, "url": self.url, "md5": self.md5, "bytes": file.stat().st_size}


def fetch_archive(archive: Archive, folder: Path) -> Path:
    """The archive as a local file whose md5 is right.

    A path or a file:// url is used where it is and never changed. Anything else is downloaded to ``folder``
    once and kept there as ``<md5>-<file name>``; an interrupted download resumes, even in a later run.

    Raises UserError where the file is missing, the server refuses, the disk is full, or the md5 is wrong or
    missing (a download is kept nevertheless), and TemporaryError where the server can't be reached.
    """
    parts = urlsplit(archive.url)
    if parts.scheme in ("http", "https"):
        with disk_errors_reported(folder):
            folder.mkdir(parents=True, exist_ok=True)
            with _locked(folder):
                return _kept(archive, folder) or _downloaded(archive, folder)
    local = Path(url2pathname(parts.path) if parts.scheme == "file" else archive.url).expanduser()
    if not local.is_file():
        raise UserError(f"{local} is not a file (relative to {Path.cwd()}); correct the url in params.yaml.")
    with disk_errors_reported(local):
        actual = checksum(local, "md5")
    if archive.md5 is None:
        raise UserError(f"{local} {_without_md5(actual)}")
    if actual != archive.md5:
        raise UserError(
            f"{local} has the md5 {actual}, but params.yaml says {archive.md5}. The file is left as it is; "
            "get a complete copy, or correct the md5 if this is the right archive."
        )
    return local


@contextmanager
def disk_errors_reported(path: Path) -> Iterator[None]:
    """UserError in place of the disk's errors: full, no permission, too long a name."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UserError(f"the disk is full at {path}; free some space and run again.") from None
        if error.errno is None:  # not from the disk: libraries derive other errors from OSError, too
            raise
        raise UserError(f"{error.filename or path}: {error.strerror}.") from None


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One download at a time: two data sets may need the same archive, and stages run side by side."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _kept(archive: Archive, folder: Path) -> Path | None:
    """An earlier download whose md5 is still right, under whichever name its url gave it."""
    candidates = sorted(folder.glob(f"{archive.md5}-*"))
    found = next((file for file in candidates if checksum(file, "md5") == archive.md5), None)
    unchecked = _unchecked(archive, folder)
    if found or not unchecked.exists() or checksum(unchecked, "md5") != archive.md5:
        return found
    return unchecked.replace(_place(archive, folder))


def _unchecked(archive: Archive, folder: Path) -> Path:
    """Where a download is kept whose md5 params.yaml did not give."""
    return folder / f"unchecked-{hashlib.sha256(archive.url.encode()).hexdigest()[:32]}"


def _place(archive: Archive, folder: Path) -> Path:
    """Where a download with the right md5 is kept."""
    return folder / f"{archive.md5}-{PurePosixPath(urlsplit(archive.url).path).name}"


def _without_md5(actual: str) -> str:
    """The end of the refusal of a file whose md5 is not in params.yaml."""
    return (
        f"has the md5 {actual}, and params.yaml gives none to check it by. If this is the right archive, "
        "write its md5 there, below its url, and run again."
    )


def _downloaded(archive: Archive, folder: Path) -> Path:
    if archive.md5 is None:
        unchecked = _unchecked(archive, folder)
        _download(archive.url, unchecked)
        raise UserError(f"{archive.url} was downloaded and {_without_md5(checksum(unchecked, 'md5'))}")
    part = folder / f"{archive.md5}.part"
    resumed = _download(archive.url, part)
    if resumed and checksum(part, "md5") != archive.md5:
        # The file on the server may have changed between its first bytes and its last.
        print(f"{archive.url}: the resumed download has a wrong md5; starting over", file=sys.stderr)
        part.unlink()
        _download(archive.url, part)
    actual = checksum(part, "md5")
    if actual != archive.md5:
        aside = part.replace(folder / f"{archive.md5}.wrong-md5")
        raise UserError(
            f"{archive.url} was downloaded with the md5 {actual}, but params.yaml says {archive.md5}. "
            f"The download is kept as {aside}; check what it is, and correct the url or the md5."
        )
    return part.replace(_place(archive, folder))


def _download(url: str, part: Path) -> bool:
    """Append to ``part`` until it is complete. Return whether it holds bytes of several responses."""
    retry = RETRY
    with requests.Session() as session:
        while True:
            have = part.stat().st_size if part.exists() else 0
            headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
            busy = None
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
                kept = f" {part} keeps what was received, and the next run resumes." if part.exists() else ""
                raise TemporaryError(
                    f"{urlsplit(url).hostname} can't be reached or breaks off ({reason}): {url}\n"
                    "Check the network, or point the url in params.yaml at a mirror or a local copy "
                    f"(a path is enough).{kept}"
                ) from None


def _receive(response: requests.Response, part: Path, have: int) -> bool:
    """Append a response to the ``have`` bytes of ``part``, or start over; return whether it was appended."""
    if have and response.status_code == 416:
        return True  # the file ends here; the md5 decides whether it is the right one
    if not response.ok:
        raise UserError(
            f"{response.url} answers {response.status_code} {response.reason}. "
            "Correct the url in params.yaml, or point it at a mirror or a local copy (a path is enough)."
        )
    if (encoding := response.headers.get("Content-Encoding", "identity")) != "identity":
        raise UserError(
            f"{response.url} is sent with Content-Encoding: {encoding}, which hides the archive's own bytes. "
            "Point the url in params.yaml at a mirror or a local copy (a path is enough)."
        )
    resumes = have > 0 and response.status_code == 206
    if resumes and not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
        part.unlink()
        raise requests.ConnectionError("the server sent another range than the one requested")
    start = have if resumes else 0
    length = response.headers.get("Content-Length", "")
    with (
        part.open("ab" if resumes else "wb") as file,
        tqdm(
            desc=f"download {urlsplit(response.url).path.rpartition('/')[2]}",
            initial=start,
            total=start + int(length) if length.isdigit() else None,
            unit="B",
            unit_scale=True,
            mininterval=1,
        ) as progress,
    ):
        # Not iter_content, which loses what came just before an interruption.
        for piece in response.raw.stream(1 << 16, decode_content=False):
            file.write(piece)
            progress.update(len(piece))
    return resumes


def _root(error: BaseException) -> str:
    """What a network error comes from, without the layers that it passed through."""
    while error.__context__ is not None:
        error = error.__context__
    return str(error) or type(error).__name__
