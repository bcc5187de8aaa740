"""Decode every new picture: what it is, whether it can be used, and the checksum of its bytes."""

from pets import sources
from pets.catalog import summarize, update, with_unlabelled
from pets.core import params
from pets.core.files import write_json
from pets.core.progress import progress_bar
from pets.core.stage import run_stage
from pets.dataset import Dataset


def main(dataset: str) -> None:
    """Update catalog.parquet, a row per image sorted by image_id; write catalog.json, its summary."""
    data = Dataset(dataset)
    source = sources.load(params.read(f"datasets.{dataset}.source", str))
    pictures = with_unlabelled(data.raw, source.pictures(data.raw))
    file = data.folder / "catalog.parquet"
    with progress_bar(len(pictures), f"catalog {dataset}") as progress:
        decoded = update(file, data.raw, pictures, progress.update)
    write_json(data.folder / "catalog.json", summary := summarize(file))
    print(f"{decoded} pictures decoded, {len(pictures) - decoded} known before.")
    print(f"{summary['usable']} of {summary['listed']} pictures can be used.")
    for each in summary["unreadable"][:5]:
        print(f"  left out: {each['image_id']}: {each['reason']}")
    if len(summary["unreadable"]) > 5:
        print(f"  and {len(summary['unreadable']) - 5} more; the catalog has them all")
    for names in summary["duplicates_across_splits"]:
        print(f"  the same bytes in train and test: {', '.join(names)}")
    for names in (found := summary["duplicates_across_labels"])[:5]:
        print(f"  the same bytes under two labels, and both are kept: {', '.join(names)}")
    if len(found) > 5:
        print(f"  and {len(found) - 5} more under two labels; catalog.json has them all")


if __name__ == "__main__":
    run_stage(main)
