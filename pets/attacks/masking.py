"""Masked robustness: where another attack beats PGD, PGD's robust accuracy says nothing of the classifier.

Athalye, Carlini, Wagner: Obfuscated gradients give a false sense of security, ICML 2018. Signs of it after
Carlini et al.: On evaluating adversarial robustness, 2019: a stronger attack, pictures made on another
network, or random noise fool the classifier more often than the attack that knows its gradients.
"""

from dataclasses import dataclass

import pandas as pd

from pets.attacks.settings import in_levels

NOISE = "random noise"  # the control in the table of transfer: every value changed, in a random direction
CHANCE = 2  # images more that another attack may fool before it counts as the better one


@dataclass(frozen=True)
class Masked:
    """At ``epsilon``, ``claim`` leaves the share ``claimed`` of the images, and ``attack`` only ``left``."""

    epsilon: str
    claim: str
    claimed: float
    attack: str
    left: float


def by_reference(curve: pd.DataFrame) -> list[Masked]:
    """The epsilons of a robustness curve where APGD fools over two images more than PGD, rising."""
    plain, strong = (rows for _, rows in curve.groupby("attack", sort=False))
    columns = (plain[["epsilon", "robust", "images"]].to_numpy(float), strong["robust"].to_numpy(float))
    return [
        Masked(in_levels(epsilon), "PGD", robust, "APGD", left)
        for (epsilon, robust, images), left in zip(*columns, strict=True)
        if (robust - left) * images > CHANCE + 1e-9
    ]


def by_transfer(transfer: pd.DataFrame, curve: pd.DataFrame, target: str) -> list[Masked]:
    """Where pictures of a source in ``transfer`` fool ``target`` more often than the attacks that know it.

    Of the images classified correctly, these are PGD's pictures made on the target itself, beaten by over two
    images, and the target's robustness ``curve`` at the same or the next larger epsilon, beaten by more than
    the 95% interval.
    """
    rows = transfer[(transfer["target"] == target) & (transfer["images"] > 0)]
    if rows.empty:
        return []
    epsilon = float(rows["epsilon"].iloc[0])
    own = 1 - float(rows.loc[rows["source"] == target, "fooled"].iloc[0])
    reported = curve[curve["attack"] == curve["attack"].iloc[-1]].sort_values("epsilon")
    larger = reported.loc[reported["epsilon"] > epsilon - 1e-9, "robust"]
    robust = float(larger.iloc[0] / reported["robust"].iloc[0]) if len(larger) else 0.0
    found = []
    for source, images, fooled, low in rows[["source", "images", "fooled", "low"]].itertuples(index=False):
        name = source if source == NOISE else f"pictures made on {source}"
        if (own - (1 - fooled)) * images > CHANCE + 1e-9:
            found.append((f"pictures made on {target} itself", own, name, 1 - fooled))
        if robust > 1 - low + 1e-9:
            found.append(("PGD and APGD", robust, name, 1 - fooled))
    return [Masked(in_levels(epsilon), *each) for each in found]
