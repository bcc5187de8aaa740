"""Learning curves as the page shows them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pets.report.outputs import existing

WITHOUT_TRAINING = ("prototype", "knn")  # heads that only compare an image with the training images


@dataclass(frozen=True)
class Curves:
    """The learning curves of one data set and backbone.

    ``heads``: by head, a row for each number of images per class: images_per_class, top1 (the mean over the
    draws), lowest and highest. See `pets.learning_curve`.
    """

    backbone: str
    heads: dict[str, pd.DataFrame]

    @property
    def without_training(self) -> float | None:
        """Top-1 with one image of each class by a head that only compares; None without such a head."""
        for head in WITHOUT_TRAINING:
            curve = self.heads.get(head, pd.DataFrame(columns=["images_per_class", "top1"]))
            of_one = curve.loc[curve["images_per_class"] == 1, "top1"]
            if len(of_one):
                return float(of_one.iloc[0])
        return None


def read_curves(root: Path, combinations: Sequence[tuple[str, str, str]]) -> dict[str, list[Curves]]:
    """The curves of each data set, a `Curves` a backbone. Raises UserError where one is missing."""
    heads: dict[tuple[str, str], dict[str, pd.DataFrame]] = {}
    for dataset, backbone, head in combinations:
        heads.setdefault((dataset, backbone), {})[head] = _read(root / dataset / backbone / f"{head}.csv")
    curves: dict[str, list[Curves]] = {}
    for (dataset, backbone), of_heads in heads.items():
        curves.setdefault(dataset, []).append(Curves(backbone, of_heads))
    return curves


def _read(file: Path) -> pd.DataFrame:
    top1 = pd.read_csv(existing(file)).groupby("images_per_class")["top1"]
    return top1.agg(top1="mean", lowest="min", highest="max").reset_index()
