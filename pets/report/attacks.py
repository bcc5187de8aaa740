"""The attacks on each backbone and head, and how they transfer to other backbones, for the page."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pets.attacks.masking import Masked, by_reference, by_transfer
from pets.core.files import read_json
from pets.report.outputs import existing


@dataclass(frozen=True)
class Example:
    """An adversarial picture: its facts (a row of examples.csv), its caption, and its tiles.

    ``tiles`` are the original, the change and the result: JPEG in base64.
    """

    facts: dict[str, Any]
    caption: str
    tiles: list[str]


@dataclass(frozen=True)
class Attack:
    """All attacks on one backbone and head; ``examples`` in the gallery's order.

    ``masked`` says where other attacks beat PGD.
    """

    summary: dict[str, Any]
    methods: pd.DataFrame  # a row for each attack
    curve: pd.DataFrame  # a row for each attack and epsilon, PGD first
    examples: list[Example]
    masked: list[Masked]

    def is_masked(self, epsilon: str) -> bool:
        """Whether another attack beat PGD at ``epsilon``, as ``1/255``, or in the test of transfer."""
        return any(each.epsilon == epsilon or each.claim != "PGD" for each in self.masked)

    @property
    def by_goal(self) -> dict[str, list[Example]]:
        """The gallery: each goal's pictures by the first attack."""
        chosen: dict[str, list[Example]] = {}
        for each in self.examples:
            if each.facts["attack"] == self.examples[0].facts["attack"]:
                chosen.setdefault(each.facts["goal"], []).append(each)
        return chosen

    @property
    def one_by_all(self) -> list[Example]:
        """The first picture by every attack."""
        return [
            each
            for each in self.examples
            if each.facts["image_id"] == self.examples[0].facts["image_id"]
            and each.facts["goal"] == self.examples[0].facts["goal"]
        ]

    @property
    def short(self) -> dict[str, int]:
        """The goals with fewer correctly classified test images than the gallery wants, and how many."""
        gallery = self.summary["gallery"]
        return {goal: found for goal, found in gallery["found"].items() if found < gallery["wanted"]}

    @property
    def images(self) -> int:
        """How many test images the curve is measured on."""
        return int(self.curve["images"].iloc[0])

    @property
    def non_finite(self) -> int:
        """How many attempts behind the curve had a loss that was not finite."""
        return int(self.curve["non_finite"].sum())


def read_attacks(
    root: Path,
    combinations: Sequence[tuple[str, str, str]],
    transfers: Mapping[tuple[str, str], pd.DataFrame],
) -> dict[str, Attack]:
    """The attacks on all (dataset, backbone, head) combinations, by ``dataset/backbone/head``.

    ``transfers`` as of `read_transfers`. Raises UserError where any is missing.
    """
    return {
        f"{dataset}/{backbone}/{head}": _read(
            root / dataset / backbone / head, transfers[dataset, head], backbone
        )
        for dataset, backbone, head in combinations
    }


def read_transfers(
    root: Path, combinations: Sequence[tuple[str, str, str]]
) -> dict[tuple[str, str], pd.DataFrame]:
    """The transfer matrix of each (dataset, head), the targets in the order of the combinations.

    Columns: source, target, epsilon, images, fooled, low, high. Raises UserError where any target is missing.
    """
    parts: dict[tuple[str, str], list[pd.DataFrame]] = {}
    for dataset, backbone, head in combinations:
        file = root / dataset / head / "results" / backbone / "transfer.csv"
        parts.setdefault((dataset, head), []).append(_table(file, ["source", "target"]))
    return {each: pd.concat(tables, ignore_index=True) for each, tables in parts.items()}


def _read(folder: Path, transfer: pd.DataFrame, backbone: str) -> Attack:
    figures = {each["name"]: each for each in read_json(existing(folder / "tiles" / "figures.json"))}
    texts = ["name", "image_id", "label", "truth", "target"]
    examples = _table(folder / "examples.csv", texts) if figures else pd.DataFrame()
    curve = _table(folder / "robustness.csv", ["attack"])
    return Attack(
        read_json(existing(folder / "summary.json")),
        _table(folder / "attacks.csv", ["attack"]),
        curve,
        [_example(facts, figures[facts["name"]], folder / "tiles") for facts in examples.to_dict("records")],
        by_reference(curve) + by_transfer(transfer, curve, backbone),
    )


def _example(facts: dict[Any, Any], figure: dict[str, Any], tiles: Path) -> Example:
    files = [existing(tiles / tile["file"]) for tile in figure["tiles"]]
    pictures = [base64.b64encode(file.read_bytes()).decode("ascii") for file in files]
    return Example(facts, figure["caption"], pictures)


def _table(file: Path, texts: list[str]) -> pd.DataFrame:
    """A CSV file; the columns ``texts`` stay text, so that a class named "NA" or "1.0" keeps its name."""
    return pd.read_csv(existing(file), dtype=dict.fromkeys(texts, str), keep_default_na=False, na_values={})
