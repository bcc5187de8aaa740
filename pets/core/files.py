"""Files and folders that appear complete or not at all, and their checksums."""

import fcntl
import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; once the block succeeds, it replaces ``path``.

    The block writes a file or makes a folder there. If it fails, ``path`` is untouched and the temporary is
    removed. A temporary that a killed process left is removed first. The replaced file itself is never
    written to: it may be a hard link to DVC's cache.
    """
    temporary = path.with_name(f".{path.name}.part")
    remove(temporary)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield temporary
        replace(temporary, path)
    finally:
        remove(temporary)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file ``path`` within the block, once no other process holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def replace(temporary: Path, path: Path) -> None:
    """Rename ``temporary`` to ``path``, which it replaces."""
    if temporary.is_dir() and path.exists():
        # A folder can't be replaced in one call; between these two the old one has another name.
        aside = path.with_name(f".{path.name}.old")
        remove(aside)
        path.rename(aside)
        temporary.rename(path)
        remove(aside)
    else:
        temporary.replace(path)


def remove(path: Path) -> None:
    """Remove the file or folder ``path``, if it exists."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def checksum(path: Path, algorithm: str = "sha256") -> str:
    """The hex digest of a file, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8, atomically."""
    with atomic(path) as temporary:
        temporary.write_text(text, "utf-8")


def write_json(path: Path, content: Any) -> None:
    """Write JSON that diffs well in git, atomically: indented, keys in the given order. NaN is refused."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """The content of a JSON file."""
    return json.loads(path.read_text("utf-8"))
