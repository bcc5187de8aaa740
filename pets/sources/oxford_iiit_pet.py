"""The Oxford-IIIT Pets: 37 breeds of cats and dogs, about 200 photographs each.

Parkhi, Vedaldi, Zisserman, Jawahar: Cats and Dogs, CVPR 2012. CC BY-SA 4.0.
"""

from pathlib import Path
from typing import Any, Literal

from pets.core.errors import UserError
from pets.core.params import Section
from pets.sources.annotations import pictures as pictures
from pets.sources.archives import Archive, fetch_archive, unpack

LABEL_NAME = "breed"
SYNTHETIC = False
FROM_IMAGENET = False


class Settings(Section):
    """An entry under ``datasets`` in params.yaml: the two official archives, or copies in the same layout."""

    source: Literal["oxford-iiit-pet"]
    images: Archive
    annotations: Archive


def fetch(settings: Settings, raw: Path, archives: Path) -> list[dict[str, Any]]:
    """Unpack both archives into ``raw``: ``images/`` and ``annotations/``. See `Source.fetch`."""
    wanted = {"images": settings.images, "annotations": settings.annotations}
    local = {name: fetch_archive(archive, archives) for name, archive in wanted.items()}
    for name, file in local.items():
        unpack(file, raw)
        if not (raw / name).is_dir():
            raise UserError(f"{file} holds no folder '{name}/'; is it the Pets' archive of {name}?")
    return [archive.described(name, local[name]) for name, archive in wanted.items()]
