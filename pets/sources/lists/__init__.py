"""What sources with official lists have in common: archives in, checked pictures out."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pets.core.errors import UserError
from pets.sources import Picture
from pets.sources.archives import Archive, fetch_archive, unpack


def fetch_and_unpack(wanted: Mapping[str, Archive], raw: Path, archives: Path) -> list[dict[str, Any]]:
    """Unpack the archives into ``raw``; returns what the report shows of each. See `Source.fetch`."""
    local = {name: fetch_archive(archive, archives) for name, archive in wanted.items()}
    for file in local.values():
        unpack(file, raw)
    return [archive.described(name, local[name]) for name, archive in wanted.items()]


def existing(file: Path) -> Path:
    """The file or folder; UserError where it is missing."""
    if not file.exists():
        raise UserError(f"{file} is missing; is this the official archive, or one in the same layout?")
    return file


def lines(file: Path) -> Iterator[str]:
    """The lines of a list that are not empty; UserError where it is missing or not text."""
    try:
        text = existing(file).read_text("utf-8")
    except UnicodeDecodeError:
        raise UserError(f"{file} is not text; is this the official archive?") from None
    return filter(None, map(str.strip, text.splitlines()))


def checked(pictures: Iterable[Picture], raw: Path) -> Iterator[Picture]:
    """The pictures; UserError where one is listed twice, or its file is missing."""
    seen = set()
    for picture in pictures:
        if picture.image_id in seen:
            raise UserError(f"{raw}: the official lists name {picture.image_id} twice; keep one.")
        if not (raw / picture.path).is_file():
            raise UserError(f"{raw}: the official lists name {picture.path}, which is not in the archive.")
        seen.add(picture.image_id)
        yield picture
