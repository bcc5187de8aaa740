"""Test images turned into something else: which images, into what, by which attack, and what came of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from stages.attacks.epsilon import in_levels
from stages.attacks.found import Found
from stages.attacks.objective import HAIR, SAFE, Objective, Smoothed, canvas, cut
from stages.attacks.parts import in_parts
from stages.attacks.pgd import pgd, step_within
from stages.attacks.reread import save
from stages.attacks.smallest import deepfool, in_eight_bits, in_eight_bits_l2, smallest, surviving
from stages.attacks.victim import Victim
from stages.images.decoding import decode
from stages.images.preprocessing import to_tensor
from stages.species import species_of

SURE = float(np.log(9))  # nats: a picture is done when its target is nine times as likely as any other
LASTING = "smallest L2, then longer until it lasts in 8 bits"
DESCENT = 0.25  # the length, in L2, of plain gradient descent's steps

Sizes = Sequence[tuple[int, int]]


@dataclass(frozen=True)
class Method:
    """An attack by its name and constraint: how it searches, and how what it found is put on 8 bits."""

    name: str
    constraint: str
    search: Callable[[Objective, torch.Tensor, Sizes], Found]
    to_eight_bits: Callable[[Objective, torch.Tensor, Found], torch.Tensor]


def methods(
    epsilon: float, epsilon_l2: float, steps: int, total_variation: float, smallest_steps: int
) -> list[Method]:
    """Every attack of the gallery; the first is the one that is shown for each picture."""
    levels, step = in_levels(epsilon), step_within(epsilon)

    def within(objective: Objective, originals: torch.Tensor, found: Found) -> torch.Tensor:
        return in_eight_bits(found.images, originals, epsilon)

    def within_l2(objective: Objective, originals: torch.Tensor, found: Found) -> torch.Tensor:
        return in_eight_bits_l2(found.images, originals, epsilon_l2)

    def nearest(objective: Objective, originals: torch.Tensor, found: Found) -> torch.Tensor:
        return in_eight_bits(found.images, originals)

    def lasting(objective: Objective, originals: torch.Tensor, found: Found) -> torch.Tensor:
        return surviving(objective, originals, found, SAFE)

    return [
        Method(
            "PGD",
            f"L-infinity at most {levels}",
            lambda objective, originals, sizes: pgd(
                objective, originals, norm="linf", epsilon=epsilon, step=step, steps=steps, sure=SURE
            ),
            within,
        ),
        Method(
            "FGSM",
            f"L-infinity {levels}, one step",
            lambda objective, originals, sizes: pgd(
                objective, originals, norm="linf", epsilon=epsilon, step=epsilon, steps=1, sure=SURE
            ),
            within,
        ),
        Method(
            "L2-PGD",
            f"L2 at most {epsilon_l2:g}",
            lambda objective, originals, sizes: pgd(
                objective,
                originals, norm="l2", epsilon=epsilon_l2, step=epsilon_l2 / 4, steps=steps, sure=SURE,
            ),
            within_l2,
        ),
        Method(
            "Gradient descent with total variation",
            "no bound",
            lambda objective, originals, sizes: pgd(
                Smoothed(objective, sizes, total_variation),
                originals, norm="l2", epsilon=float("inf"), step=DESCENT, steps=steps, sure=SURE,
            ),
            nearest,
        ),
        Method(
            "DeepFool",
            LASTING,
            lambda objective, originals, sizes: deepfool(objective, originals, smallest_steps, HAIR),
            lasting,
        ),
        Method(
            "FMN",
            LASTING,
            lambda objective, originals, sizes: smallest(objective, originals, smallest_steps, HAIR),
            lasting,
        ),
    ]  # fmt: skip


@dataclass(frozen=True)
class Goal:
    """Test images that are read rightly, and what each is to be taken for.

    ``names`` are what a picture can be taken for, breeds or species; ``groups`` [classes] says which of them
    each class belongs to. ``images`` has a row for each picture: image_id, label, path, truth, target, and
    the probabilities of these two before the attack, truth_before and target_before.
    """

    name: str
    names: list[str]
    groups: torch.Tensor
    images: pd.DataFrame


def goals(test: pd.DataFrame, probabilities: np.ndarray, classes: list[str], count: int) -> list[Goal]:
    """Each species into each other one, and each label into the one it is most confused with.

    ``test``: image_id, label, species, path in the order of choice; ``probabilities`` [n, classes] of the
    same rows. Of the images read rightly, as many labels as there can be come first; there may be fewer than
    ``count``.
    """
    label = pd.Categorical(test["label"], categories=classes).codes.astype(np.int64)
    right = probabilities.argmax(1) == label
    test = test.assign(position=np.arange(len(test)), turn=test[right].groupby("label").cumcount())
    found = []
    species = species_of(test, classes)
    if species.notna().all():
        codes, names = pd.factorize(species, sort=True)
        by_species = probabilities @ np.eye(len(names))[codes]
        truth = codes[label]
        known = right & (by_species.argmax(1) == truth)
        for one in range(len(names)):
            for other in range(len(names)):
                if one != other:
                    chosen = test[known & (truth == one)].assign(truth=names[one], target=names[other])
                    chosen["truth_before"] = by_species[chosen["position"], one]
                    chosen["target_before"] = by_species[chosen["position"], other]
                    name = f"{names[one]} to {names[other]}"
                    found.append(Goal(name, list(names), torch.tensor(codes), _first(chosen, count)))
    found.append(_to_neighbours(test, probabilities, classes, label, right, count))
    return sorted(found, key=lambda goal: goal.name != "dog to cat")  # the classic first


def _to_neighbours(
    test: pd.DataFrame,
    probabilities: np.ndarray,
    classes: list[str],
    label: np.ndarray,
    right: np.ndarray,
    count: int,
) -> Goal:
    """The neighbour of a label is the other one that its images hold likeliest, on the mean."""
    mean = np.stack(
        [probabilities[label == k].mean(0) if (label == k).any() else np.zeros(len(classes))
         for k in range(len(classes))]
    )  # fmt: skip
    np.fill_diagonal(mean, -1)
    names = np.array(classes, dtype=object)
    target = mean.argmax(1)[label]
    everyone = np.arange(len(test))
    chosen = test.assign(
        truth=test["label"],
        target=names[target],
        truth_before=probabilities[everyone, label],
        target_before=probabilities[everyone, target],
    )[right]
    return Goal("to its neighbour", classes, torch.arange(len(classes)), _first(chosen, count))


def _first(images: pd.DataFrame, count: int) -> pd.DataFrame:
    return images.sort_values(["turn", "position"]).head(count).reset_index(drop=True)


@dataclass(frozen=True)
class Outcome:
    """One picture by one attack: its facts, the original and the saved result, uint8 [height, width, 3]."""

    facts: dict[str, Any]
    original: np.ndarray
    result: np.ndarray


def attack(
    victim: Victim,
    goal: Goal,
    methods: Sequence[Method],
    raw: Path,
    folder: Path,
    update: Callable[[int], object],
) -> list[Outcome]:
    """Attack a goal's pictures by each method; save the results as <goal>_<attack>_<image_id>.png.

    ``update`` is told how many pictures are done. The attack's own classifier says what fooled before saving,
    embed's way of reading what fools after it.
    """
    pixels = [decode((raw / path).read_bytes()).pixels for path in goal.images["path"]]
    found = [facts for method in methods for facts in _attempts(victim, goal, method, pixels, folder, update)]
    files = [folder / f"{file_name(goal.name, each['attack'], each['image_id'])}.png" for each in found]
    after = victim.read(files) @ torch.nn.functional.one_hot(goal.groups).double()
    outcomes = []
    for number, (facts, file, said) in enumerate(zip(found, files, after, strict=True)):
        truth, target = goal.names.index(facts["truth"]), goal.names.index(facts["target"])
        facts |= {
            "fooled": bool(said.argmax() == target),
            "truth_after": float(said[truth]),
            "target_after": float(said[target]),
        }
        original = pixels[number % len(pixels)]
        outcomes.append(Outcome(facts, original, decode(file.read_bytes()).pixels))
    return outcomes


def _attempts(
    victim: Victim,
    goal: Goal,
    method: Method,
    pixels: Sequence[np.ndarray],
    folder: Path,
    update: Callable[[int], object],
) -> list[dict[str, Any]]:
    """Attack by one method and save: what is known of each picture before it is read again."""
    targets = torch.tensor([goal.names.index(each) for each in goal.images["target"]])
    members = torch.nn.functional.one_hot(goal.groups).double()
    facts: list[dict[str, Any]] = []

    def work(part: list[int]) -> None:
        rows = torch.tensor(part)
        originals, sizes = canvas([to_tensor(pixels[row]) for row in part])
        objective = victim.misread(sizes, targets[rows], targeted=True, groups=goal.groups)
        found = method.search(objective, originals, sizes)
        saved = method.to_eight_bits(objective, originals, found)
        unsaved = victim.before_saving(cut(found.images, sizes)) @ members
        images = goal.images.iloc[part]
        for picture, image_id in zip(cut(saved, sizes), images["image_id"], strict=True):
            save(picture, folder / f"{file_name(goal.name, method.name, image_id)}.png")
        changes = (saved - originals).flatten(1)
        before = (found.images - originals).flatten(1)
        facts.extend(
            {
                "goal": goal.name,
                "attack": method.name,
                "constraint": method.constraint,
                "image_id": row.image_id,
                "label": row.label,
                "truth": row.truth,
                "target": row.target,
                "steps": int(found.steps[i]),
                "given_up": bool(found.given_up[i]),
                "stand_in": victim.probe.has_stand_in,
                "fooled_before_saving": bool(unsaved[i].argmax() == targets[part[i]]),
                "truth_before": row.truth_before,
                "target_before": row.target_before,
                "l2_before_saving": float(before[i].norm()),
                "l2": float(changes[i].norm()),
                "levels": int((255 * changes[i]).abs().max().round()),
            }
            for i, row in enumerate(images.itertuples())
        )
        update(len(part))

    in_parts([each.shape[:2] for each in pixels], victim.engine, work)
    return facts


def file_name(goal: str, method: str, image_id: str) -> str:
    """In lower case and without spaces, what a goal and an attack are called, and the image."""
    words = "_".join(part.replace(",", "").replace(" ", "_").lower() for part in (goal, method))
    return f"{words}_{image_id}"
