"""How much accuracy is left when an attacker may change every pixel by epsilon."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from stages.attacks.apgd import reference
from stages.attacks.epsilon import in_levels
from stages.attacks.found import Found
from stages.attacks.objective import HAIR, SAFE, Objective, canvas, cut
from stages.attacks.parts import in_parts
from stages.attacks.pgd import pgd, step_within
from stages.attacks.smallest import in_eight_bits
from stages.attacks.victim import Victim
from stages.progress import bar
from stages.scores.metrics import wilson

LEVEL = 1 / 255  # a smaller change leaves nothing in a saved picture

Search = Callable[[Objective, torch.Tensor, float], Found]


@dataclass(frozen=True)
class Attacker:
    """A search within an epsilon, by name."""

    name: str
    search: Search


def attackers(steps: int, reference_steps: int, restarts: int, seed: int) -> list[Attacker]:
    """PGD, whose curve is shown, and the strong reference that must not find much more."""

    def far(epsilon: float) -> float:
        return SAFE if epsilon >= LEVEL else HAIR

    def plain(objective: Objective, originals: torch.Tensor, epsilon: float) -> Found:
        return pgd(
            objective,
            originals,
            norm="linf",
            epsilon=epsilon,
            step=step_within(epsilon),
            steps=steps,
            sure=far(epsilon),
        )

    def strong(objective: Objective, originals: torch.Tensor, epsilon: float) -> Found:
        return reference(
            objective, originals, epsilon=epsilon, steps=reference_steps, restarts=restarts, seed=seed,
            sure=far(epsilon),
        )  # fmt: skip

    return [Attacker("PGD", plain), Attacker("APGD", strong)]


def curve(
    victim: Victim,
    pictures: Sequence[torch.Tensor],
    labels: torch.Tensor,
    clean: torch.Tensor,
    epsilons: Sequence[float],
    attackers: Sequence[Attacker],
) -> pd.DataFrame:
    """Robust accuracy for each attack and epsilon, of pictures [3, height, width].

    ``labels`` [n] are the truths, ``clean`` [n] says which of the pictures are read rightly as they are.

    Untargeted, L-infinity. ``robust`` is counted on the pixels as found, the usual threat model; ``saved``
    after saving with 8 bits and reading again, where a change under one level leaves nothing. As in
    AutoAttack (Croce, Hein, ICML 2020) an attack only tries what the ones before it left standing, so each
    one's curve is that of all up to it. A picture once broken stays so for every larger epsilon, whose ball
    holds the same adversarial picture. One that was given up, because its loss was not a number, counts as
    broken.
    Columns: attack, epsilon, images, robust, low, high (Wilson's 95% interval), saved, saved_low, saved_high,
    given_up.
    """
    standing = {each.name: clean.clone() for each in attackers}
    saved = {each.name: clean.clone() for each in attackers}
    rows = {each.name: [_row(each.name, 0.0, clean, clean, 0)] for each in attackers}
    for epsilon in sorted(epsilon for epsilon in epsilons if epsilon > 0):
        before: tuple[torch.Tensor, ...] = (clean, clean)
        for attacker in attackers:
            now = standing[attacker.name], saved[attacker.name]
            for mine, left in zip(now, before, strict=True):
                mine &= left
            given_up = _attack(victim, pictures, labels, epsilon, attacker, *now)
            rows[attacker.name].append(_row(attacker.name, epsilon, *now, given_up))
            before = now
    return pd.DataFrame([row for each in attackers for row in rows[each.name]])


def _attack(
    victim: Victim,
    pictures: Sequence[torch.Tensor],
    labels: torch.Tensor,
    epsilon: float,
    attacker: Attacker,
    standing: torch.Tensor,
    saved: torch.Tensor,
) -> int:
    """Cross out what breaks of ``standing`` and ``saved`` [n], and tell how many pictures were given up."""
    saves = epsilon >= LEVEL
    left = torch.nonzero(standing | saved if saves else standing).squeeze(1)
    given_up = 0
    with bar(len(left), f"{attacker.name} at {in_levels(epsilon)}") as progress:

        def work(part: list[int]) -> None:
            nonlocal given_up
            rows = left[part]
            originals, sizes = canvas([pictures[row] for row in rows.tolist()])
            objective = victim.misread(sizes, labels[rows], targeted=False)
            found = attacker.search(objective, originals, epsilon)
            known = ~found.given_up.cpu()  # of the others, nobody knows what an attacker would find
            right = victim.before_saving(cut(found.images, sizes)).argmax(1) == labels[rows]
            if saves:
                eight = in_eight_bits(found.images, originals, epsilon)
                after = victim.read_saved(cut(eight, sizes)).argmax(1) == labels[rows]
                saved[rows] &= known & after
            standing[rows] &= known & right
            given_up += int(found.given_up.sum())
            progress.update(len(rows))

        in_parts([tuple(pictures[row].shape[1:]) for row in left.tolist()], victim.engine, work)
    return given_up


def _row(
    attack: str, epsilon: float, standing: torch.Tensor, saved: torch.Tensor, given_up: int
) -> dict[str, object]:
    n = len(standing)
    hits = np.array([int(standing.sum()), int(saved.sum())])
    (low, saved_low), (high, saved_high) = wilson(hits, np.array([n, n]))
    return {
        "attack": attack,
        "epsilon": epsilon,
        "images": n,
        "robust": hits[0] / n,
        "low": low,
        "high": high,
        "saved": hits[1] / n,
        "saved_low": saved_low,
        "saved_high": saved_high,
        "given_up": given_up,
    }
