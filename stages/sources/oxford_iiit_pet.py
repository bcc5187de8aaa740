"""The Oxford-IIIT Pets: 37 breeds of cats and dogs, about 200 photographs each.

Parkhi, Vedaldi, Zisserman, Jawahar: Cats and Dogs, CVPR 2012. CC BY-SA 4.0.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from stages.errors import UserError
from stages.params import Section
from stages.sources.archives import Archive, discard, fetch, unpack
from stages.sources.base import Picture, Source

SPECIES = {"1": "cat", "2": "dog"}
LISTS = {"trainval.txt": "train", "test.txt": "test"}


class OxfordPets(Source):
    """The two official archives, images and annotations, or copies of them in the same layout."""

    label_name = "breed"

    class Settings(Section):
        """An entry under ``datasets`` in params.yaml."""

        source: Literal["oxford-iiit-pet"]
        images: Archive
        annotations: Archive

    @staticmethod
    def fetch(settings: Settings, raw: Path, downloads: Path) -> list[dict[str, Any]]:
        """Unpack both archives into ``raw``: ``images/`` and ``annotations/``. See `Source.fetch`."""
        archives = {"images": settings.images, "annotations": settings.annotations}
        local = {name: fetch(archive, downloads) for name, archive in archives.items()}
        for name, file in local.items():
            unpack(file, raw)
            if not (raw / name).is_dir():
                raise UserError(f"{file} holds no folder '{name}/'; is it the Pets' archive of {name}?")
        origin = [
            {"name": name, "url": archive.url, "md5": archive.md5, "bytes": local[name].stat().st_size}
            for name, archive in archives.items()
        ]
        for archive in archives.values():
            discard(archive, downloads)
        return origin

    @staticmethod
    def pictures(raw: Path) -> Iterator[Picture]:
        """See `listed`."""
        return listed(raw)


def listed(raw: Path) -> Iterator[Picture]:
    """The pictures of ``annotations/trainval.txt`` and ``test.txt``, in that order.

    The breed is the image's name up to its number; the species is the list's own. Raises UserError where a
    list is missing or not as it should be, or names an image that is not there or that it named before.
    """
    seen: set[str] = set()
    for name, split in LISTS.items():
        file = raw / "annotations" / name
        if not file.exists():
            raise UserError(f"{file} is missing; the annotations' archive is not the Pets'.")
        for number, line in enumerate(file.read_text("utf-8").splitlines(), start=1):
            if not line.strip() or line.startswith("#"):
                continue
            fields = line.split()
            where = f"{file}, line {number}"
            if len(fields) != 4 or fields[2] not in SPECIES or not re.fullmatch(r"[^/\\]+_\d+", fields[0]):
                raise UserError(f"{where}: expected 'Image_number CLASS-ID SPECIES BREED-ID', not {line!r}.")
            image_id = fields[0]
            if image_id in seen:
                raise UserError(f"{where}: {image_id} is listed twice, and an image has one split.")
            seen.add(image_id)
            path = f"images/{image_id}.jpg"
            if not (raw / path).is_file():
                raise UserError(f"{where}: the label {image_id} has no image {path}; is the archive whole?")
            yield Picture(image_id, path, image_id.rpartition("_")[0], SPECIES[fields[2]], split)
