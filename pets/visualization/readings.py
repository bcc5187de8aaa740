"""How a backbone classifies ideals, its own and those of the other backbones."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import torch

from pets.core.files import read_json

IDEAL = ["group", "maker", "name", "places", "file"]
READING = ["group", "maker", "reader", "name", "probability", "first"]


def made(folders: Mapping[str, Path], group: str) -> pd.DataFrame:
    """The ideals in each maker's folder, a row each: group, maker, name, places, file.

    A folder has PNGs and ideals.json, a list of {file, name, places}; ``places`` are the indices of the
    classes that an ideal stands for: one of a breed, several of a species.
    """
    rows = [
        {"group": group, "maker": maker, **ideal, "file": folder / ideal["file"]}
        for maker, folder in folders.items()
        for ideal in read_json(folder / "ideals.json")
    ]
    return pd.DataFrame(rows, columns=IDEAL)


def reading(ideals: pd.DataFrame, reader: str, probabilities: torch.Tensor) -> pd.DataFrame:
    """One row for each of the ``ideals``, in their order: group, maker, reader, name, probability, first.

    ``probabilities`` [ideals, classes] are the reader's. ``probability`` is the sum over the ideal's classes,
    and ``first`` whether the most probable class is one of them.
    """
    rows = list(zip(probabilities, ideals["places"], strict=True))
    own = [float(row[places].sum()) for row, places in rows]
    first = [int(row.argmax()) in places for row, places in rows]
    return ideals.assign(reader=reader, probability=own, first=first)[READING]
