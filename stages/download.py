"""Fetch a data set into data/<dataset>/raw, in its source's official layout."""

from pathlib import Path
from typing import Any

from stages import params
from stages.door import open_door
from stages.errors import UserError
from stages.files import whole, write_json
from stages.sources.registry import source_named


def main(dataset: str) -> None:
    """Fetch, check and unpack; what stood before stays until the new folder is whole."""
    entry: dict[str, Any] = params.read(f"datasets.{dataset}", dict[str, Any])
    if "source" not in entry:
        raise UserError(f"params.yaml: datasets.{dataset} does not say its source.")
    source = source_named(entry["source"])
    settings = params.read(f"datasets.{dataset}", source.Settings)
    folder = Path("data", dataset)
    with whole(folder / "raw") as raw:
        raw.mkdir()
        archives = source.fetch(settings, raw, folder / "downloads")
    write_json(
        folder / "origin.json",
        {
            "source": entry["source"],
            "label_name": source.label_name,
            "drawn": source.drawn,
            "archives": archives,
        },
    )


if __name__ == "__main__":
    open_door(main)
