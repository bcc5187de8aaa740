"""How well unknown pictures are recognized, as the page shows it: the tables of the stage `unknown`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pets.report.outputs import existing


@dataclass(frozen=True)
class OpenSet:
    """One combination's tables, see `pets.classifier.open_set`."""

    auroc: pd.DataFrame
    classes: pd.DataFrame
    histogram: pd.DataFrame

    @property
    def chosen(self) -> list[Any]:
        """The rows of the score that the model uses, one for each kind of unknown pictures."""
        return list(self.auroc[self.auroc["chosen"]].itertuples())

    @property
    def extremes(self) -> tuple[list[Any], list[Any]]:
        """The five classes that are hardest to recognize as unknown, and the five easiest."""
        ordered = list(self.classes.sort_values(["auroc", "label"]).itertuples())
        return ordered[:5], ordered[::-1][:5]


def read_unknown(root: Path, combinations: Sequence[tuple[str, str, str]]) -> dict[str, OpenSet]:
    """By ``dataset/backbone/head``. Raises UserError where one is missing."""
    return {"/".join(each): _read(root.joinpath(*each)) for each in combinations}


def _read(folder: Path) -> OpenSet:
    auroc, classes, histogram = (
        existing(folder / f"{name}.csv") for name in ("auroc", "classes", "histogram")
    )
    of_classes = pd.read_csv(classes, dtype={"label": str}, keep_default_na=False)
    return OpenSet(pd.read_csv(auroc), of_classes, pd.read_csv(histogram))
