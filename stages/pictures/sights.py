"""What the galleries left behind, as the page shows it: captioned pictures, and who reads them how."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from stages.files import read_json
from stages.pictures.evaluation import Evaluation

KINDS = {".jpg": "image/jpeg", ".webp": "image/webp"}


@dataclass(frozen=True)
class Tile:
    """``picture`` and ``motion`` are data: addresses; ``motion`` is empty where nothing moves."""

    picture: str
    motion: str
    lines: list[str]


@dataclass(frozen=True)
class Figure:
    """See `stages.galleries.figures.Figure`."""

    title: str
    caption: str
    columns: int
    tiles: list[Tile]


@dataclass(frozen=True)
class Sights:
    """Figures by whose they are: a backbone's, a data set's and backbone's, an evaluation's.

    ``readings``: how each backbone reads every ideal (see `stages.ideal_readings`), a row each.
    """

    of_backbones: dict[str, list[Figure]]
    of_data: dict[tuple[str, str], list[Figure]]
    of_evaluations: dict[str, list[Figure]]
    readings: pd.DataFrame

    @property
    def of_networks(self) -> bool:
        """Whether there is anything that belongs to no head."""
        return any([*self.of_backbones.values(), *self.of_data.values()])

    def readers(self, group: str, maker: str) -> list[tuple[str, list[Any]]]:
        """For each ideal of a backbone, its name and its row of readings, in the readers' order."""
        if self.readings.empty:
            return []
        part = self.readings[(self.readings["group"] == group) & (self.readings["maker"] == maker)]
        return [(str(name), list(rows.itertuples())) for name, rows in part.groupby("name", sort=False)]


def read_sights(root: Path, evaluations: Sequence[Evaluation]) -> Sights:
    """What there is for these evaluations under ``root``; what isn't there is not shown."""
    backbones = dict.fromkeys(each.backbone for each in evaluations)
    pairs = dict.fromkeys((each.dataset, each.backbone) for each in evaluations)
    readings = root / "ideal_readings" / "readings.csv"
    return Sights(
        of_backbones={name: _figures(root / "ideals" / "imagenet" / name) for name in backbones},
        of_data={pair: _figures(root.joinpath("features", *pair)) for pair in pairs},
        of_evaluations={
            each.key: [*_figures(root / "ideals" / each.key), *_figures(root / "gradcams" / each.key)]
            for each in evaluations
        },
        readings=pd.read_csv(readings, dtype={"name": str}, keep_default_na=False)
        if readings.exists()
        else pd.DataFrame(),
    )


def _figures(folder: Path) -> list[Figure]:
    tiles = folder / "tiles"
    if not (tiles / "figures.json").exists():
        return []
    return [
        Figure(
            title=figure["title"],
            caption=figure["caption"],
            columns=figure["columns"],
            tiles=[
                Tile(
                    _address(tiles / tile["file"]),
                    _address(tiles / tile["motion"]) if "motion" in tile else "",
                    tile["lines"],
                )
                for tile in figure["tiles"]
            ],
        )
        for figure in read_json(tiles / "figures.json")
    ]


def _address(file: Path) -> str:
    return f"data:{KINDS[file.suffix]};base64,{base64.b64encode(file.read_bytes()).decode('ascii')}"
