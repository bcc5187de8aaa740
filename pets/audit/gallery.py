"""The suspects as a person looks at them: contact sheets, the most suspicious first."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from pets.audit.decisions import KEEP
from pets.audit.kinds import DUPLICATE, LABEL, OUTLIER, SCENE
from pets.audit.quality import KINDS
from pets.galleries.figures import Figure, Tile, display_name
from pets.images.decoding import decode

SIDE = 192  # pixels

PAIRS = {
    "leaks": (
        "Duplicates of test images among training and validation images",
        "One photograph in two splits: a test image that was seen in training flatters every metric.",
    ),
    "duplicates": (
        "Duplicates elsewhere",
        "One photograph twice, in training and validation or in one split: it counts double.",
    ),
    "scenes": (
        "One scene in two splits",
        "Two photographs of one scene, most often one animal or litter in a series: no duplicates, but not "
        "independent either.",
    ),
}
CAPTION = " The correlation is that of details and shades of both pictures once one is laid over the other."


def figures(table: pd.DataFrame, paths: pd.Series, raw: Path, shown: int) -> list[Figure]:
    """A figure a kind of suspects, at most ``shown`` of each; ``paths`` by image_id, under ``raw``."""

    def tile(image_id: str, *lines: str) -> Tile:
        picture = Image.fromarray(decode((raw / paths[image_id]).read_bytes(), SIDE).pixels)
        scale = SIDE / max(picture.size)
        size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
        return Tile(np.asarray(picture.resize(size, Image.Resampling.BICUBIC)), [*lines, image_id])

    table = table[table["verdict"] != KEEP]
    test = table["split"].eq("test") & table["other_split"].isin(["train", "val"])
    rows = {
        "leaks": table[table["kind"].eq(DUPLICATE) & test],
        "duplicates": table[table["kind"].eq(DUPLICATE) & ~test],
        "scenes": table[table["kind"].eq(SCENE) & test],
    }
    found = []
    for name, (title, caption) in PAIRS.items():
        tiles = [each for row in _rows(rows[name], shown) for each in _pair(row, tile)]
        found.append(Figure(name, title, caption + CAPTION, tiles, columns=6))
    found.append(
        Figure(
            "labels",
            "Labels that are probably wrong",
            "Images of which a linear head that was fitted without them finds another class more probable "
            "than the label. It may be the head that is wrong: look.",
            [_labelled(row, tile) for row in _rows(table[table["kind"].eq(LABEL)], shown)],
            columns=6,
        )
    )
    found.append(
        Figure(
            "outliers",
            "Outliers",
            "The images that are furthest from those nearest to them, as the backbone sees them.",
            [
                tile(row.image_id, display_name(row.label))
                for row in _rows(table[table["kind"].eq(OUTLIER)], shown)
            ],
            columns=6,
        )
    )
    bad = [row for name in KINDS for row in _rows(table[table["kind"].eq(name)], -(-shown // 3))]
    found.append(
        Figure(
            "pictures",
            "Dark, bright, blank, blurred, tiny or framed",
            "Pictures that their pixels alone make suspicious, the most extreme of each kind.",
            [tile(row.image_id, row.kind, row.detail) for row in bad],
            columns=6,
        )
    )
    return found


def _rows(table: pd.DataFrame, most: int) -> list[Any]:
    return list(table.head(most).itertuples())


def _labelled(row: Any, tile: Callable[..., Tile]) -> Tile:
    of_other = f"rather {display_name(row.other_label)}: {row.detail}"
    return tile(row.image_id, f"labelled {display_name(row.label)}", of_other)


def _pair(row: Any, tile: Callable[..., Tile]) -> list[Tile]:
    detail = f", {row.detail}" if row.detail else ""
    return [
        tile(row.image_id, f"{row.split}: {display_name(row.label)}", f"correlation {row.score:.2f}{detail}"),
        tile(row.other, f"{row.other_split}: {display_name(row.other_label)}"),
    ]
