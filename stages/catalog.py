"""Decode every picture once: what it is, whether it can be used, and the checksum of its bytes."""

from concurrent.futures import ThreadPoolExecutor

import pandas as pd

from pets import sources
from pets.catalog import describe, summarize, unlabelled
from pets.core import params
from pets.core.errors import UserError
from pets.core.files import atomic, write_json
from pets.core.progress import progress_bar
from pets.core.stage import run_stage
from pets.dataset import OK, Dataset

THREADS = 8  # decoding and hashing both let other threads run


def main(dataset: str) -> None:
    """Write catalog.parquet, a row per image sorted by image_id, and catalog.json, its summary."""
    data = Dataset(dataset)
    pictures = list(sources.load(params.read(f"datasets.{dataset}.source", str)).pictures(data.raw))
    rows = []
    with ThreadPoolExecutor(THREADS) as pool, progress_bar(len(pictures), f"catalog {dataset}") as progress:
        for row in pool.map(lambda picture: describe(data.raw, picture), pictures):
            rows.append(row)
            progress.update()
    rows += unlabelled(data.raw, pictures)
    if not any(row["status"] == OK for row in rows):
        raise UserError(f"{data.raw} holds no picture that can be used ({len(rows)} listed).")
    table = pd.DataFrame(rows).sort_values("image_id", ignore_index=True)
    with atomic(data.folder / "catalog.parquet") as temporary:
        table.to_parquet(temporary, index=False)
    write_json(data.folder / "catalog.json", summary := summarize(table))
    print(f"{summary['usable']} of {summary['listed']} pictures can be used.")
    for each in summary["unreadable"][:5]:
        print(f"  left out: {each['image_id']}: {each['reason']}")
    if len(summary["unreadable"]) > 5:
        print(f"  and {len(summary['unreadable']) - 5} more; the catalog has them all")
    for names in summary["duplicates_across_splits"]:
        print(f"  the same bytes in train and test: {', '.join(names)}")


if __name__ == "__main__":
    run_stage(main)
