"""Food-101: 101 dishes, 1,000 photographs each, 250 of them for testing; the training labels are noisy.

Bossard, Guillaumin, Van Gool: Food-101, ECCV 2014.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pets.core.files import read_json
from pets.core.params import Section
from pets.sources import Picture
from pets.sources.archives import Archive
from pets.sources.lists import checked, existing, fetch_and_unpack

LABEL_NAME = "dish"
SYNTHETIC = False
FROM_IMAGENET = False


class Settings(Section):
    """An entry under ``datasets`` in params.yaml."""

    source: Literal["food101"]
    archive: Archive = Archive(
        url="http://data.vision.ee.ethz.ch/cvl/food-101.tar.gz",
        md5="85eeb15f3717b99a5da872d97d918f87",
    )


def fetch(settings: Settings, raw: Path, archives: Path) -> list[dict[str, Any]]:
    """Unpack ``food-101/``. See `Source.fetch`."""
    return fetch_and_unpack({"images and labels": settings.archive}, raw, archives)


def pictures(raw: Path) -> Iterator[Picture]:
    """The pictures of ``train.json`` and ``test.json``. See `Source.pictures`."""
    listed = (
        Picture(f"{name}.jpg", f"food-101/images/{name}.jpg", dish, None, split)
        for split in ("train", "test")
        for dish, names in read_json(existing(raw / "food-101" / "meta" / f"{split}.json")).items()
        for name in names
    )
    return checked(listed, raw)
