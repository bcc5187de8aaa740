"""The pictures to be predicted: files, folders and archives, each picture once."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from pets.core.errors import UserError
from pets.core.files import atomic, checksum
from pets.sources import Picture, readable
from pets.sources.archives import unpack
from pets.sources.folders import PICTURES, files

ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz")
UNKNOWN = "?"  # in place of the label, without which the catalog would not take a picture


def list_pictures(places: Iterable[Path], unpacked: Path) -> list[Picture]:
    """The files given, and those in folders and archives that are called like pictures, sorted by path.

    ``unpacked`` is where archives are unpacked, each in a folder named by its checksum, and only once. The
    image_id is the path; that of an archive's member goes on from the archive's. UserError where a place does
    not exist, an archive is refused, or there is no picture.
    """
    found: dict[str, Picture] = {}
    for place in places:
        for file, path in _files(place.expanduser().absolute(), unpacked):
            picture = Picture(readable(path), readable(str(file)), UNKNOWN, None, None)
            found.setdefault(os.path.realpath(file), picture)
    if not found:
        raise UserError(f"no picture ({', '.join(PICTURES)}) in {', '.join(map(str, places))}.")
    return sorted(found.values(), key=lambda picture: picture.image_id)


def _files(place: Path, unpacked: Path) -> Iterator[tuple[Path, str]]:
    """Files, and the paths to show."""
    if not place.exists():
        raise UserError(f"there is no file or folder {place}.")
    if place.is_dir():
        yield from ((place / path, f"{place}/{path}") for path in _inside(place))
    elif place.suffix.lower() in ARCHIVES:
        folder = unpacked / checksum(place)
        if not folder.exists():
            with atomic(folder) as temporary:
                unpack(place, temporary)
        yield from ((folder / path, f"{place}/{path}") for path in _inside(folder))
    else:
        yield place, str(place)


def _inside(folder: Path) -> Iterator[str]:
    return (path for path, _ in files(folder) if path.lower().endswith(PICTURES))
