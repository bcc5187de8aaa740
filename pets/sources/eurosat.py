"""EuroSAT: 10 kinds of land use, 27,000 satellite pictures of 64 x 64 pixels; no official split.

Helber, Bischke, Dengel, Borth: EuroSAT, IEEE JSTARS 2019.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pets.core.params import Section
from pets.sources import Picture, folders
from pets.sources.archives import Archive
from pets.sources.lists import existing, fetch_and_unpack

LABEL_NAME = "land use"
SYNTHETIC = False
FROM_IMAGENET = False


class Settings(Section):
    """An entry under ``datasets`` in params.yaml."""

    source: Literal["eurosat"]
    archive: Archive = Archive(
        url="https://huggingface.co/datasets/torchgeo/eurosat/resolve/"
        "c877bcd43f099cd0196738f714544e355477f3fd/EuroSAT.zip",
        md5="c8fa014336c82ac7804f0398fcb19387",
    )


def fetch(settings: Settings, raw: Path, archives: Path) -> list[dict[str, Any]]:
    """Unpack ``2750/``, a folder for each class. See `Source.fetch`."""
    return fetch_and_unpack({"images": settings.archive}, raw, archives)


def pictures(raw: Path) -> Iterator[Picture]:
    """Every file in the folders of the classes. See `Source.pictures`."""
    return folders.pictures(existing(raw / "2750"), "2750/")
