"""Look at every picture once: what it is, whether it can be read, and the sum of its bytes."""

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd

from stages import params
from stages.door import open_door
from stages.errors import UserError
from stages.files import whole, write_json
from stages.images.decoding import UndecodableError, decode
from stages.progress import bar
from stages.sources.base import Picture
from stages.sources.registry import source_named

OK = "ok"
THREADS = 8  # decoding and hashing both let other threads run
PICTURES = {".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp"}


def main(dataset: str) -> None:
    """Write catalog.parquet, a row an image sorted by image_id, and catalog.json, its summary."""
    source = source_named(params.read(f"datasets.{dataset}.source", str))
    folder = Path("data", dataset)
    raw = folder / "raw"
    pictures = list(source.pictures(raw))
    rows = []
    with ThreadPoolExecutor(THREADS) as pool, bar(len(pictures), f"catalog {dataset}") as progress:
        for row in pool.map(lambda picture: _look(raw, picture), pictures):
            rows.append(row)
            progress.update()
    rows += _unlabelled(raw, pictures)
    if not any(row["status"] == OK for row in rows):
        raise UserError(f"{raw} holds no picture that can be used ({len(rows)} listed).")
    table = pd.DataFrame(rows).sort_values("image_id", ignore_index=True)
    summary = _summary(table)
    with whole(folder / "catalog.parquet") as temporary:
        table.to_parquet(temporary, index=False)
    with whole(folder / "catalog.json") as temporary:
        write_json(temporary, summary)
    _tell(summary)


def _look(raw: Path, picture: Picture) -> dict[str, Any]:
    """A row of the catalog. A picture that can't be read keeps its row, with the reason as its status."""
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
    height, width, _ = decoded.pixels.shape
    return row | {"width": width, "height": height, "format": decoded.format, "mode": decoded.mode}


def _unlabelled(raw: Path, pictures: list[Picture]) -> Iterator[dict[str, Any]]:
    """Pictures that lie there but are in no list, as some forty of the official Pets do."""
    listed = {picture.path for picture in pictures}
    folders = {Path(path).parent for path in listed}
    for file in sorted(each for folder in folders for each in (raw / folder).iterdir()):
        path = file.relative_to(raw).as_posix()
        if path not in listed and file.suffix.lower() in PICTURES:
            row = _look(raw, Picture(file.stem, path, "", None, None))
            yield row | {"label": None, "status": "it has no label"}


def _summary(table: pd.DataFrame) -> dict[str, Any]:
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


def _tell(summary: dict[str, Any]) -> None:
    print(f"{summary['usable']} of {summary['listed']} pictures can be used.")
    for each in summary["unreadable"][:5]:
        print(f"  left out: {each['image_id']}: {each['reason']}")
    if len(summary["unreadable"]) > 5:
        print(f"  and {len(summary['unreadable']) - 5} more; the catalog has them all")
    for names in summary["duplicates_across_splits"]:
        print(f"  the same bytes in train and test: {', '.join(names)}")


if __name__ == "__main__":
    open_door(main)
