"""The galleries as the page shows them: captioned pictures, and how each backbone classifies each ideal."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pets.core.files import read_json
from pets.report.evaluation import Evaluation

KINDS = {".jpg": "image/jpeg", ".webp": "image/webp"}


Figure = dict[str, Any]  # an entry of figures.json; see `read_figures`


@dataclass(frozen=True)
class Galleries:
    """Figures of each backbone, of each data set and backbone, and of each evaluation, by its key.

    ``readings``: a row for each ideal and reader; see `pets.visualization.readings`.
    """

    of_backbones: dict[str, list[Figure]]
    of_data: dict[tuple[str, str], list[Figure]]
    of_evaluations: dict[str, list[Figure]]
    readings: pd.DataFrame

    @property
    def of_networks(self) -> bool:
        """Whether there is any figure that belongs to no head."""
        return any([*self.of_backbones.values(), *self.of_data.values()])

    def readers(self, group: str, maker: str) -> list[tuple[str, list[Any]]]:
        """Each ideal of a backbone: its name, and its readings in the order of the run's backbones."""
        if self.readings.empty:
            return []
        part = self.readings[(self.readings["group"] == group) & (self.readings["maker"] == maker)]
        return [(str(name), list(rows.itertuples())) for name, rows in part.groupby("name", sort=False)]


def read_galleries(root: Path, evaluations: Sequence[Evaluation]) -> Galleries:
    """The galleries of these evaluations, in the run's order, that exist under ``root``."""
    backbones = dict.fromkeys(each.backbone for each in evaluations)
    pairs = dict.fromkeys((each.dataset, each.backbone) for each in evaluations)
    heads = dict.fromkeys((each.dataset, each.head) for each in evaluations)
    files = [root / "ideal_readings" / f"{name}.csv" for name in backbones]
    files += [
        root.joinpath("transfers", *pair, "results", name, "readings.csv")
        for pair in heads
        for name in backbones
    ]
    readings = [
        pd.read_csv(file, dtype={"name": str}, keep_default_na=False) for file in files if file.exists()
    ]
    return Galleries(
        of_backbones={name: read_figures(root / "ideals" / "imagenet" / name) for name in backbones},
        of_data={pair: read_figures(root.joinpath("features", *pair)) for pair in pairs},
        of_evaluations={
            each.key: [*read_figures(root / "ideals" / each.key), *read_figures(root / "gradcams" / each.key)]
            for each in evaluations
        },
        readings=pd.concat(readings) if readings else pd.DataFrame(),
    )


def read_figures(folder: Path) -> list[Figure]:
    """What `pets.galleries.figures` wrote: title, caption, columns, and tiles with lines of text.

    A tile's ``picture`` and ``motion`` are data: URLs; ``motion`` is empty where there is no animation.
    """
    tiles = folder / "tiles"
    figures: list[Figure] = read_json(tiles / "figures.json") if (tiles / "figures.json").exists() else []
    for figure in figures:
        for tile in figure["tiles"]:
            tile["picture"] = _data_url(tiles / tile["file"])
            tile["motion"] = _data_url(tiles / tile["motion"]) if "motion" in tile else ""
    return figures


def _data_url(file: Path) -> str:
    return f"data:{KINDS[file.suffix]};base64,{base64.b64encode(file.read_bytes()).decode('ascii')}"
