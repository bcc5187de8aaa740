"""What the attacks on one backbone and head left behind, and what they did on other backbones."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from stages.errors import UserError
from stages.files import read_json

FILES = ("metrics.json", "examples.csv", "attacks.csv", "robustness.csv")
PANELS = ("original", "change", "result")


@dataclass(frozen=True)
class Example:
    """An adversarial picture: its facts (a row of examples.csv) and three small pictures, WebP in base64."""

    facts: dict[str, Any]
    panels: dict[str, str]


@dataclass(frozen=True)
class Attack:
    """All of one backbone and head; ``examples`` in the gallery's order."""

    metrics: dict[str, Any]
    methods: pd.DataFrame  # a row an attack
    curve: pd.DataFrame  # a row for each attack and epsilon, PGD first
    examples: list[Example]

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
        """The goals for which fewer test images were read rightly than the gallery wants, and how many."""
        gallery = self.metrics["gallery"]
        return {goal: found for goal, found in gallery["found"].items() if found < gallery["wanted"]}

    @property
    def images(self) -> int:
        """How many test images the curve is measured on."""
        return int(self.curve["images"].iloc[0])

    @property
    def given_up(self) -> int:
        """How many attempts behind the curve were given up."""
        return int(self.curve["given_up"].sum())


def read_attacks(root: Path, combinations: Sequence[tuple[str, str, str]]) -> dict[str, Attack]:
    """The attacks on all (dataset, backbone, head) combinations, by ``dataset/backbone/head``.

    Raises UserError where any is not there yet.
    """
    return {"/".join(each): _read(root.joinpath(*each)) for each in combinations}


def read_transfers(
    root: Path, combinations: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], pd.DataFrame]:
    """The transfer matrix of each (dataset, head): source, target, images, fooled, low, high."""
    return {each: _table(root.joinpath(*each) / "matrix.csv", ["source", "target"]) for each in combinations}


def _read(folder: Path) -> Attack:
    for name in FILES:
        _there(folder / name)
    try:
        examples = _table(folder / "examples.csv", ["name", "image_id", "label", "truth", "target"])
    except pd.errors.EmptyDataError:  # no picture was asked for
        examples = pd.DataFrame()
    return Attack(
        read_json(folder / "metrics.json"),
        _table(folder / "attacks.csv", ["attack"]),
        _table(folder / "robustness.csv", ["attack"]),
        [_example(folder, facts) for facts in examples.to_dict("records")],
    )


def _example(folder: Path, facts: Mapping[Any, Any]) -> Example:
    files = {kind: folder / "panels" / f"{facts['name']}_{kind}.webp" for kind in PANELS}
    panels = {
        kind: base64.b64encode(_there(file).read_bytes()).decode("ascii") for kind, file in files.items()
    }
    return Example(dict(facts), panels)


def _table(file: Path, texts: list[str]) -> pd.DataFrame:
    """A CSV file; the columns ``texts`` stay text, so that a class named "NA" or "1.0" keeps its name."""
    return pd.read_csv(_there(file), dtype=dict.fromkeys(texts, str), keep_default_na=False, na_values={})


def _there(file: Path) -> Path:
    if not file.exists():
        raise UserError(f"not attacked yet: {file} is missing. Run `dvc repro`, which makes what is missing.")
    return file
