"""What is suspected of the data, as the page shows it: by the stages `audit` and `without_suspects`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pets.report.galleries import Figure, read_figures
from pets.report.outputs import existing

# What each kind of audit.csv is, in the order of the page.
KINDS = {
    "duplicate": "two pictures that are one photograph, whatever was cropped, mirrored, resized or framed",
    "same scene": "two photographs of one scene, such as a series of one animal or litter",
    "label": "heads that were fitted without the image find another class more probable",
    "outlier": "furthest from the images nearest to it",
    "dark": "hardly any bright pixel",
    "bright": "hardly any dark pixel",
    "blank": "hardly any contrast",
    "blurred": "no sharp edge anywhere",
    "tiny": "a short side of under 64 pixels",
    "framed": "a plain frame around the picture",
}


@dataclass(frozen=True)
class Audit:
    """One data set as one backbone sees it.

    ``suspects``: audit.csv, but what a person kept; ``without``: a row for each head, set of images and
    metric.
    """

    suspects: pd.DataFrame
    without: pd.DataFrame
    figures: list[Figure]

    @property
    def counts(self) -> dict[str, int]:
        """How many suspects of each kind that has any."""
        counts = self.suspects["kind"].value_counts()
        return {kind: int(counts[kind]) for kind in KINDS if kind in counts}

    @property
    def leaks(self) -> int:
        """Pairs of duplicates of which one alone is a test image."""
        pairs = self.suspects[self.suspects["kind"] == "duplicate"]
        return int((pairs["split"].eq("test") != pairs["other_split"].eq("test")).sum())

    @property
    def metrics(self) -> list[tuple[str, list[tuple[str, list[Any]]]]]:
        """Each head, and for each set that is left out of its test images the rows of ``without``."""
        return [
            (
                str(head),
                [
                    (str(name), list(rows.itertuples()))
                    for name, rows in of_head.groupby("without", sort=False)
                ],
            )
            for head, of_head in self.without.groupby("head", sort=False)
        ]


def read_audits(root: Path, combinations: Sequence[tuple[str, str, str]]) -> dict[tuple[str, str], Audit]:
    """By data set and backbone. Raises UserError where one is missing."""
    heads: dict[tuple[str, str], list[str]] = {}
    for dataset, backbone, head in combinations:
        heads.setdefault((dataset, backbone), []).append(head)
    return {pair: _read(root, pair, of_pair) for pair, of_pair in heads.items()}


def _read(root: Path, pair: tuple[str, str], heads: Sequence[str]) -> Audit:
    text = dict.fromkeys(("image_id", "label", "other", "other_label"), str)
    folder = root.joinpath("suspects", *pair)
    suspects = pd.read_csv(existing(folder / "audit.csv"), dtype=text, keep_default_na=False)
    files = {head: root.joinpath("without_suspects", *pair, f"{head}.csv") for head in heads}
    every = pd.concat([pd.read_csv(existing(file)).assign(head=head) for head, file in files.items()])
    return Audit(suspects[suspects["verdict"] != "keep"], every, read_figures(folder))
