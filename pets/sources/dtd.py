"""The Describable Textures Dataset: 47 kinds of texture, 120 pictures each; its first official split.

Cimpoi, Maji, Kokkinos, Mohamed, Vedaldi: Describing Textures in the Wild, CVPR 2014.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pets.core.params import Section
from pets.sources import Picture
from pets.sources.archives import Archive
from pets.sources.lists import checked, fetch_and_unpack, lines

LABEL_NAME = "texture"
SYNTHETIC = False
FROM_IMAGENET = False


class Settings(Section):
    """An entry under ``datasets`` in params.yaml."""

    source: Literal["dtd"]
    archive: Archive = Archive(
        url="https://www.robots.ox.ac.uk/~vgg/data/dtd/download/dtd-r1.0.1.tar.gz",
        md5="fff73e5086ae6bdbea199a49dfb8a4c1",
    )


def fetch(settings: Settings, raw: Path, archives: Path) -> list[dict[str, Any]]:
    """Unpack ``dtd/``. See `Source.fetch`."""
    return fetch_and_unpack({"images and labels": settings.archive}, raw, archives)


def pictures(raw: Path) -> Iterator[Picture]:
    """The pictures of ``train1.txt``, ``val1.txt`` and ``test1.txt``. See `Source.pictures`."""
    listed = (
        Picture(name, f"dtd/images/{name}", name.partition("/")[0], None, split)
        for split in ("train", "val", "test")
        for name in lines(raw / "dtd" / "labels" / f"{split}1.txt")
    )
    return checked(listed, raw)
