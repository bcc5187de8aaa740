"""The pages of a prediction: each picture with its class, what else it may be, and what it resembles."""

import base64
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any

from pyarrow import parquet as pq

from pets.catalog import THREADS
from pets.core.files import remove, write_text
from pets.core.progress import progress_bar
from pets.galleries.figures import display_name, percent
from pets.images.thumbnails import SIDE, thumbnail
from pets.prediction.models import Model
from pets.report.evaluation import plural
from pets.report.templates import render_page

PICTURES = 500  # of a page
UNSURE = 0.5  # a picture whose class has a lower probability is marked


def write(into: Path, model: Model, files: Mapping[str, Path], similar: Mapping[str, Path]) -> None:
    """Write index.html, and index-2.html ... where there are more than 500 pictures, of predictions.parquet.

    ``files`` are those of the pictures by path, ``similar`` those of training pictures by image_id.
    """
    table = into / "predictions.parquet"
    described = model.described
    counts, unknown = _counts(table)
    total = counts.total() + unknown
    pages = -(-total // PICTURES)
    names = ["index.html", *(f"index-{number}.html" for number in range(2, pages + 1))]

    @lru_cache(maxsize=4096)
    def small(image_id: str) -> str:
        return _thumbnail(similar[image_id], side=96)

    def shown(row: dict[str, Any]) -> dict[str, Any]:
        if row["problem"] is None:
            try:
                row["picture"] = _thumbnail(files[row["path"]])
            except OSError as error:  # it was there when it was embedded
                row["problem"] = f"it can't be read again: {error.strerror}"
        if row["problem"] is None:
            row["similar"] = [(image_id, small(image_id)) for image_id in row["similar"]]
            row["unsure"] = row["probability"] < UNSURE
        row["name"] = Path(row["path"]).name
        return row

    with progress_bar(total, "page") as progress, ThreadPoolExecutor(THREADS) as pool:
        for name, rows in zip(names, _pages(table), strict=True):
            pictures = list(pool.map(shown, rows))
            html = render_page(
                Path(__file__).parent,
                {"readable": display_name, "plural": plural, "thousands": "{:,}".format},
                classes=described["classes"],
                counts=counts,
                described=described,
                model=model,
                name=name,
                names=names,
                percent=percent,
                pictures=pictures,
                species=sorted({each for each in described["species"].values() if each}),
                total=total,
                unknown=unknown,
                unsure=UNSURE,
            )
            write_text(into / name, html)
            progress.update(len(pictures))
    for old in into.glob("index-*.html"):
        if old.name not in names:
            remove(old)


def _counts(table: Path) -> "tuple[Counter[str | None], int]":
    """How many pictures are of each class, the unknown ones left out, and how many are unknown.

    None stands for those that could not be read.
    """
    with pq.ParquetFile(table) as file:
        batches = file.iter_batches(columns=["label", "unknown"])
        rows = [(each["label"], each["unknown"]) for batch in batches for each in batch.to_pylist()]
    return Counter(label for label, unknown in rows if not unknown), sum(bool(each) for _, each in rows)


def _pages(table: Path) -> Iterator[list[dict[str, Any]]]:
    with pq.ParquetFile(table) as file:
        rest: list[dict[str, Any]] = []
        for batch in file.iter_batches(PICTURES):
            rest += batch.to_pylist()
            while len(rest) >= PICTURES:
                yield rest[:PICTURES]
                rest = rest[PICTURES:]
        if rest:
            yield rest


def _thumbnail(file: Path, side: int = SIDE) -> str:
    return base64.b64encode(thumbnail(file.read_bytes(), side)).decode("ascii")
