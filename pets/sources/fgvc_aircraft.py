"""FGVC-Aircraft: 100 variants of aircraft, 100 photographs each.

Maji, Kannala, Rahtu, Blaschko, Vedaldi: Fine-Grained Visual Classification of Aircraft, 2013.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pets.core.params import Section
from pets.sources import Picture
from pets.sources.archives import Archive
from pets.sources.lists import checked, fetch_and_unpack, lines

LABEL_NAME = "variant"
SYNTHETIC = False
FROM_IMAGENET = False
DATA = "fgvc-aircraft-2013b/data"


class Settings(Section):
    """An entry under ``datasets`` in params.yaml."""

    source: Literal["fgvc-aircraft"]
    archive: Archive = Archive(
        url="https://www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft/archives/fgvc-aircraft-2013b.tar.gz",
        md5="d4acdd33327262359767eeaa97a4f732",
    )


def fetch(settings: Settings, raw: Path, archives: Path) -> list[dict[str, Any]]:
    """Unpack ``fgvc-aircraft-2013b/``. See `Source.fetch`."""
    return fetch_and_unpack({"images and labels": settings.archive}, raw, archives)


def pictures(raw: Path) -> Iterator[Picture]:
    """The pictures of ``images_variant_train.txt``, ``_val.txt`` and ``_test.txt``. See `Source.pictures`."""
    listed = (
        Picture(f"{name}.jpg", f"{DATA}/images/{name}.jpg", variant, None, split)
        for split in ("train", "val", "test")
        for name, _, variant in (
            line.partition(" ") for line in lines(raw / DATA / f"images_variant_{split}.txt")
        )
    )
    return checked(listed, raw)
