"""What is suspected of the data, as the page shows it: by the stages `audit` and `without_suspects`."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pets.audit.decisions import DROP, KEEP, RELABEL, read_decisions
from pets.galleries.figures import display_name
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

SAID = {DROP: "dropped", RELABEL: "relabelled", KEEP: "kept"}


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


@dataclass(frozen=True)
class Decisions:
    """What a person decided about a data set's images: the verdict and the label of each image, by its id."""

    verdicts: dict[str, tuple[str, str]]

    @classmethod
    def read(cls, dataset: str) -> "Decisions":
        """Those that `split` applied: it refuses a file that it can't apply as a whole."""
        rows = read_decisions(dataset)[["image", "verdict", "label"]]
        return cls({image: (verdict, label) for image, verdict, label in rows.itertuples(index=False)})

    @property
    def counts(self) -> dict[str, int]:
        """How many of each verdict that there is."""
        counts = Counter(verdict for verdict, _ in self.verdicts.values())
        return {said: counts[verdict] for verdict, said in SAID.items() if counts[verdict]}

    def of(self, image_id: str) -> str:
        """What was decided about an image, in words; "" where nothing was."""
        verdict, label = self.verdicts.get(image_id, ("", ""))
        return " ".join(filter(None, (SAID.get(verdict), display_name(label))))


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
