"""Microsoft's Cats vs. Dogs: 12,500 files of each, of which some can't be decoded; no official split.

Elson, Douceur, Howell, Saul: Asirra, CCS 2007. Its md5 is for the user to fill in: without one it is refused,
and the refusal says which md5 the file has.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pets.core.params import Section
from pets.sources import Picture, folders
from pets.sources.archives import Archive
from pets.sources.lists import existing, fetch_and_unpack

LABEL_NAME = "animal"
SYNTHETIC = False
FROM_IMAGENET = False
FOLDER = "PetImages"


class Settings(Section):
    """An entry under ``datasets`` in params.yaml."""

    source: Literal["cats-vs-dogs"]
    archive: Archive = Archive(
        url="https://download.microsoft.com/download/3/E/1/3E1C3F21-ECDB-4869-8368-6DEBA77B919F/"
        "kagglecatsanddogs_5340.zip"
    )


def fetch(settings: Settings, raw: Path, archives: Path) -> list[dict[str, Any]]:
    """Unpack ``PetImages/Cat`` and ``PetImages/Dog``. See `Source.fetch`."""
    return fetch_and_unpack({"images": settings.archive}, raw, archives)


def pictures(raw: Path) -> Iterator[Picture]:
    """Every file of both folders; the catalog names those that are no pictures. See `Source.pictures`."""
    for picture in folders.pictures(existing(raw / FOLDER), f"{FOLDER}/"):
        animal = picture.label.lower()
        yield replace(picture, label=animal, species=animal)
