"""The numbers that sum up the attacks on one backbone and head."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from pets.attacks.goals import Goal
from pets.attacks.masking import by_reference
from pets.attacks.settings import in_levels


def compare(examples: pd.DataFrame) -> pd.DataFrame:
    """A row for each attack on the pictures of the first goal that has any: shares, and medians."""
    shares, medians = ["fooled", "fooled_before_saving"], ["l2", "l2_before_saving", "steps"]
    if examples.empty:
        return pd.DataFrame(columns=["attack", "images", *shares, *medians])
    attacks = examples[examples["goal"] == examples["goal"].iloc[0]].groupby("attack", sort=False)
    sizes = attacks.size().rename("images")
    return pd.concat([sizes, attacks[shares].mean(), attacks[medians].median()], axis=1).reset_index()


def summarize(
    examples: pd.DataFrame, curve: pd.DataFrame, goals: Sequence[Goal], wanted: int, surrogate: bool
) -> dict[str, Any]:
    """The share fooled for each goal by the first attack, robust accuracy for each epsilon, and counts.

    ``robust_accuracy`` is what PGD and APGD together leave, ``masked`` the epsilons where PGD alone leaves
    clearly more (see `pets.attacks.masking`), and ``lost_in_saving`` the share of all pictures that fooled
    before they were saved, and not after.
    """
    fooled: dict[str, float] = {}
    lost, non_finite = 0.0, int(curve["non_finite"].sum())
    if len(examples):
        shown = examples[examples["attack"] == examples["attack"].iloc[0]]
        fooled = shown.groupby("goal", sort=False)["fooled"].mean().to_dict()
        before = examples[examples["fooled_before_saving"]]
        lost = float((~before["fooled"]).mean()) if len(before) else 0.0
        non_finite += int(examples["non_finite"].sum())
    robust = {
        str(attack): dict(zip(map(in_levels, rows["epsilon"]), rows["robust"], strict=True))
        for attack, rows in curve.groupby("attack", sort=False)
    }
    return {
        "fooled": fooled,
        "lost_in_saving": lost,
        "robust_accuracy": robust["APGD"],
        "robust_accuracy_pgd": robust["PGD"],
        "masked": [each.epsilon for each in by_reference(curve)],
        "non_finite": non_finite,
        "gallery": {"wanted": wanted, "found": {goal.name: len(goal.images) for goal in goals}},
        "surrogate": surrogate,
    }
