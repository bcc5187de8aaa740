"""Fetch a data set into data/<dataset>/raw, in its source's official layout."""

from pathlib import Path
from typing import Any

from pets import sources
from pets.core import params
from pets.core.files import atomic, write_json
from pets.core.stage import run_stage
from pets.dataset import Dataset


def main(dataset: str) -> None:
    """Fetch, check and unpack; an earlier folder stays until the new one is complete."""
    entry: dict[str, Any] = params.read(f"datasets.{dataset}", dict[str, Any])
    name = str(entry.get("source", ""))
    params.check_names(f"datasets.{dataset}.source", "sources", [name])
    source = sources.load(name)
    settings = params.read(f"datasets.{dataset}", source.Settings)
    archives = params.read("archives", Path).expanduser()
    data = Dataset(dataset)
    with atomic(data.raw) as raw:
        raw.mkdir()
        fetched = source.fetch(settings, raw, archives)
    write_json(
        data.folder / "origin.json",
        {
            "source": name,
            "label_name": source.LABEL_NAME,
            "synthetic": source.SYNTHETIC,
            "from_imagenet": source.FROM_IMAGENET,
            "archives": fetched,
        },
    )


if __name__ == "__main__":
    run_stage(main)
