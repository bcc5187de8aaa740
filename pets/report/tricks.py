"""Training tricks as the page shows them: the stage's tables, and sentences that follow from them."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pets.report.outputs import existing
from pets.tricks.catalogue import BY_NAME, TRICKS, title_of

NETWORKS = {"linear": "the linear layer", "mlp": "the MLP"}
SHOWN = 0.9  # share of the intervals' ends that the axis reaches: one that fails must not hide the others


@dataclass(frozen=True)
class Effect:
    """What a trick, added to ``plain`` or to all the ``others``, did; see `pets.tricks.experiment`."""

    network: str
    added_to: str
    effect: float
    low: float
    high: float
    p: float
    validation_effect: float
    rate: float
    accuracy: float
    seeds: int
    failed: int

    @property
    def verdict(self) -> str:
        """What the interval says, and it alone."""
        if isnan(self.low):
            return "failed"
        if self.low > 0:
            return "helps"
        return "harms" if self.high < 0 else "no clear difference"

    @property
    def sign(self) -> str:
        """The verdict as a class of page.css."""
        return {"helps": "helps", "harms": "harms"}.get(self.verdict, "neither")

    @property
    def said(self) -> str:
        """The verdict in a sentence, with its interval and how many runs failed."""
        network = NETWORKS[self.network]
        if isnan(self.low):
            return f"with {network} the loss did not stay finite in {self.failed} of {self.seeds} runs"
        between = "with" if self.low <= 0 <= self.high else ""
        mean, low, high = (points(each, digits=2) for each in (self.effect, self.low, self.high))
        text = f"{self.verdict} {between} {network} ({mean} points, {low} to {high}"
        if self.failed:
            text += f"; {self.failed} of {self.seeds} runs left out, whose loss did not stay finite"
        return " ".join(f"{text})".split())


@dataclass(frozen=True)
class Row:
    """A trick and its effects by network: alone, and on top of all others where it was part of these."""

    name: str
    alone: dict[str, Effect]
    others: dict[str, Effect]

    @property
    def title(self) -> str:
        """What the page calls it."""
        return title_of(self.name)

    @property
    def meaning(self) -> str:
        """The sentence that says what it is."""
        return BY_NAME[self.name].meaning if self.name in BY_NAME else "These tricks together."

    @property
    def happened(self) -> str:
        """The sentence that says what it did here."""
        alone, others = (
            ", ".join(each.said for each in found.values()) for found in (self.alone, self.others)
        )
        return f"Added to plain SGD: {alone}{f'; added to all the others: {others}' if others else ''}."


@dataclass(frozen=True)
class Tricks:
    """The tricks measured on one data set and backbone: tables as of `Experiment`."""

    backbone: str
    effects: pd.DataFrame
    runs: pd.DataFrame
    curves: pd.DataFrame

    @property
    def networks(self) -> dict[str, str]:
        """What the page calls each network."""
        return NETWORKS

    @property
    def seeds(self) -> int:
        """Runs of each recipe."""
        return int(self.runs["seed"].nunique())

    @property
    def comparisons(self) -> int:
        """How many comparisons Holm's method corrects for."""
        return int(self.effects["p"].notna().sum())

    def plain(self, network: str) -> pd.Series:
        """Means of the plain recipe's runs: rate, validation, test."""
        return self._mean(network, "plain")

    def together(self, network: str) -> pd.Series | None:
        """Means of all together, or None where too few tricks were measured for it."""
        found = self.runs[(self.runs["network"] == network) & (self.runs["role"] == "all")]
        return self._mean(network, "all") if len(found) else None

    def parts(self, network: str) -> list[str]:
        """The titles of what all together is made of."""
        rows = self.runs[(self.runs["network"] == network) & (self.runs["role"] == "without")]
        return [title_of(name) for name in rows["trick"].unique()]

    @property
    def hidden(self) -> Effect:
        """What the hidden layer changes."""
        return self._effects("mlp", "plain")["mlp"]

    def all(self, network: str) -> Effect | None:
        """What all together changes."""
        return self._effects(network, "plain").get("all")

    @property
    def axis(self) -> tuple[float, float]:
        """The lowest and highest end of an interval that the chart shows."""
        ends = self.effects.loc[~self.effects["trick"].isin(["mlp", "all"]), ["low", "high"]]
        most = float(np.nanquantile(ends.abs(), SHOWN))
        ends = ends.clip(-most, most)
        return float(min(ends["low"].min(), -0.01)), float(max(ends["high"].max(), 0.01))

    @property
    def losses(self) -> dict[str, dict[str, dict[str, pd.DataFrame]]]:
        """By network and family the curves of plain and of each trick alone, by title."""
        found: dict[str, dict[str, dict[str, pd.DataFrame]]] = {}
        for network in NETWORKS:
            curves = self.curves[self.curves["network"] == network]
            by_name = dict(iter(curves.groupby(["role", "trick"])))
            plain = {"Plain": by_name["plain", "plain"]}
            found[network] = {
                family: plain | {row.title: by_name["alone", row.name] for row in rows}
                for family, rows in self.families.items()
            }
            if ("all", "all") in by_name:
                found[network]["All together"] = plain | {"All together": by_name["all", "all"]}
        return found

    @property
    def families(self) -> dict[str, list[Row]]:
        """Rows by the heading under which they are shown, joined tricks under their own."""
        names = [each for each in self.effects["trick"].unique() if each not in ("mlp", "all")]
        order = {each.name: place for place, each in enumerate(TRICKS)}
        families: dict[str, list[Row]] = {}
        for name in sorted(names, key=lambda name: order.get(name, len(order))):
            family = BY_NAME[name].family if name in BY_NAME else "Together"
            alone, others = (
                {net: found[net][name] for net in NETWORKS if name in found[net]}
                for found in (self._all_effects["plain"], self._all_effects["others"])
            )
            families.setdefault(family, []).append(Row(name, alone, others))
        return families

    @property
    def _all_effects(self) -> dict[str, dict[str, dict[str, Effect]]]:
        return {
            added_to: {network: self._effects(network, added_to) for network in NETWORKS}
            for added_to in ("plain", "others")
        }

    def _effects(self, network: str, added_to: str) -> dict[str, Effect]:
        rows = self.effects[(self.effects["network"] == network) & (self.effects["added_to"] == added_to)]
        records: list[dict[Any, Any]] = rows.drop(columns="validation").to_dict("records")
        return {each.pop("trick"): Effect(**each) for each in records}

    def _mean(self, network: str, role: str) -> pd.Series:
        rows = self.runs[
            (self.runs["network"] == network) & (self.runs["role"] == role) & self.runs["finite"]
        ]
        return rows[["rate", "validation", "test"]].mean()


def points(value: float, digits: int = 1) -> str:
    """A difference of accuracy in percentage points, with its sign."""
    rounded = f"{100 * value:+.{digits}f}".replace("-", "−")
    return rounded[1:] if not rounded[1:].strip("0.") else rounded


def read_tricks(root: Path, pairs: Sequence[tuple[str, str]]) -> dict[str, list[Tricks]]:
    """The tricks of each data set, a `Tricks` a backbone. Raises UserError where a table is missing."""
    found: dict[str, list[Tricks]] = {}
    for dataset, backbone in pairs:
        folder = root / dataset / backbone
        tables = [pd.read_csv(existing(folder / f"{name}.csv")) for name in ("effects", "runs", "curves")]
        found.setdefault(dataset, []).append(Tricks(backbone, *tables))
    return found
