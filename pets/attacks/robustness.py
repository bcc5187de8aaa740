"""Robust accuracy: the accuracy that is left when an attacker may change every pixel by epsilon."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from pets.attacks.apgd import reference
from pets.attacks.objective import CONFIDENCE_SAVED, CONFIDENCE_UNSAVED, Objective, canvas, cut, misclassify
from pets.attacks.pgd import pgd, step_within
from pets.attacks.pictures import batch_by_batch, classes_of, read_pictures
from pets.attacks.quantization import quantize
from pets.attacks.search import SearchResult
from pets.attacks.settings import Curve, in_levels
from pets.classifier.classifier import Classifier
from pets.core.progress import progress_bar
from pets.metrics.metrics import wilson

LEVEL = 1 / 255  # a smaller change leaves nothing in a saved picture

Search = Callable[[Objective, torch.Tensor, float], SearchResult]


@dataclass(frozen=True)
class Attacker:
    """A search within an epsilon, by name."""

    name: str
    search: Search


def attackers(steps: int, reference_steps: int, restarts: int, seed: int) -> list[Attacker]:
    """PGD, whose curve is shown, and the strong reference, which should not find much more."""

    def confidence(epsilon: float) -> float:
        return CONFIDENCE_SAVED if epsilon >= LEVEL else CONFIDENCE_UNSAVED

    def plain(objective: Objective, originals: torch.Tensor, epsilon: float) -> SearchResult:
        return pgd(
            objective, originals, norm="linf", epsilon=epsilon, step=step_within(epsilon), steps=steps,
            confidence=confidence(epsilon),
        )  # fmt: skip

    def strong(objective: Objective, originals: torch.Tensor, epsilon: float) -> SearchResult:
        return reference(
            objective, originals, epsilon=epsilon, steps=reference_steps, restarts=restarts, seed=seed,
            confidence=confidence(epsilon),
        )  # fmt: skip

    return [Attacker("PGD", plain), Attacker("APGD", strong)]


def measure(
    classifier: Classifier,
    test: pd.DataFrame,
    probabilities: np.ndarray,
    settings: Curve,
    raw: Path,
    seed: int,
) -> pd.DataFrame:
    """The `curve` on the first of the ``test`` images, whose ``probabilities`` [n, classes] are known."""
    chosen = test.head(settings.images)
    labels = classes_of(chosen, classifier.classes)
    clean = torch.from_numpy(probabilities[: len(chosen)].argmax(1)) == labels
    both = attackers(settings.steps, settings.reference_steps, settings.reference_restarts, seed)
    return curve(classifier, read_pictures(chosen, raw), labels, clean, settings.epsilons, both)


def curve(
    classifier: Classifier,
    pictures: Sequence[torch.Tensor],
    labels: torch.Tensor,
    clean: torch.Tensor,
    epsilons: Sequence[float],
    attackers: Sequence[Attacker],
) -> pd.DataFrame:
    """Robust accuracy for each attack and epsilon, on pictures [3, height, width].

    ``labels`` [n] are their classes, ``clean`` [n] says which are classified correctly without an attack.

    Untargeted, L-infinity. ``robust`` is the share still classified correctly with the pixels as the attack
    found them, the usual threat model; ``saved`` the share after saving with 8 bits and reading again, where
    a change below one level leaves nothing. As in AutoAttack (Croce, Hein, ICML 2020), an attack is only run
    on the images that survived those before it, so its curve is that of all attacks up to it. An image that
    was misclassified once counts as misclassified at every larger epsilon, whose ball contains the same
    adversarial picture. So does one whose loss was not finite.

    Columns: attack, epsilon, images, robust, low, high (Wilson's 95% interval), saved, saved_low, saved_high,
    non_finite.
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
            non_finite = _attack(classifier, pictures, labels, epsilon, attacker, *now)
            rows[attacker.name].append(_row(attacker.name, epsilon, *now, non_finite))
            before = now
    return pd.DataFrame([row for each in attackers for row in rows[each.name]])


def _attack(
    classifier: Classifier,
    pictures: Sequence[torch.Tensor],
    labels: torch.Tensor,
    epsilon: float,
    attacker: Attacker,
    standing: torch.Tensor,
    saved: torch.Tensor,
) -> int:
    """Clear what is fooled in ``standing`` and ``saved`` [n]; returns how many had a non-finite loss."""
    saves = epsilon >= LEVEL
    left = torch.nonzero(standing | saved if saves else standing).squeeze(1)
    non_finite = 0
    with progress_bar(len(left), f"{attacker.name} at {in_levels(epsilon)}") as progress:

        def work(batch: list[int]) -> None:
            nonlocal non_finite
            rows = left[batch]
            originals, sizes = canvas([pictures[row] for row in rows.tolist()])
            objective = misclassify(classifier, sizes, labels[rows], targeted=False)
            found = attacker.search(objective, originals, epsilon)
            known = ~found.non_finite.cpu()  # for the others, the attack's result is unknown
            correct = classifier.probabilities(cut(found.images, sizes)).argmax(1) == labels[rows]
            if saves:
                quantized = quantize(found.images, originals, epsilon)
                after = classifier.probabilities_once_saved(cut(quantized, sizes)).argmax(1) == labels[rows]
                saved[rows] &= known & after
            standing[rows] &= known & correct
            non_finite += int(found.non_finite.sum())
            progress.update(len(rows))

        batch_by_batch(classifier, [pictures[row] for row in left.tolist()], work)
    return non_finite


def _row(
    attack: str, epsilon: float, standing: torch.Tensor, saved: torch.Tensor, non_finite: int
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
        "non_finite": non_finite,
    }
