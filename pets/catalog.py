"""The catalog of a data set: a row per picture, with the reason where it can't be used."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from pets.dataset import OK
from pets.images.decoding import UndecodableError, decode
from pets.sources import Picture

SUFFIXES = {".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp"}


def describe(raw: Path, picture: Picture) -> dict[str, Any]:
    """A picture's row of the catalog, with the reason as its status where it can't be decoded."""
    data = (raw / picture.path).read_bytes()
    row: dict[str, Any] = {
        "image_id": picture.image_id,
        "path": picture.path,
        "label": picture.label,
        "species": picture.species,
        "official_split": picture.split,
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "width": 0,
        "height": 0,
        "format": None,
        "mode": None,
        "status": OK,
    }
    try:
        decoded = decode(data)
    except UndecodableError as error:
        return row | {"status": str(error)}
    width, height = decoded.size
    return row | {"width": width, "height": height, "format": decoded.format, "mode": decoded.mode}


def unlabelled(raw: Path, pictures: list[Picture]) -> Iterator[dict[str, Any]]:
    """Rows for pictures that are not listed, such as about forty of the official Pets."""
    listed = {picture.path for picture in pictures}
    folders = {Path(path).parent for path in listed}
    for file in sorted(each for folder in folders for each in (raw / folder).iterdir()):
        path = file.relative_to(raw).as_posix()
        if path not in listed and file.suffix.lower() in SUFFIXES:
            row = describe(raw, Picture(file.stem, path, "", None, None))
            yield row | {"label": None, "status": "it has no label"}


def summarize(table: pd.DataFrame) -> dict[str, Any]:
    """Counts, the images that can't be used, and those whose bytes occur more than once."""
    usable = table[table["status"] == OK]
    groups = [group for _, group in usable.groupby("sha256", sort=False) if len(group) > 1]
    across = [group for group in groups if group["official_split"].nunique() > 1]
    return {
        "listed": len(table),
        "usable": len(usable),
        "unreadable": [
            {"image_id": row.image_id, "reason": row.status}
            for row in table[table["status"] != OK].itertuples()
        ],
        "formats": {str(kind): int(count) for kind, count in usable["format"].value_counts().items()},
        "duplicates": [sorted(group["image_id"]) for group in groups],
        "duplicates_across_splits": [sorted(group["image_id"]) for group in across],
    }
