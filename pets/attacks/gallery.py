"""Test images attacked towards their goals, saved, read again, and shown."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pets.attacks.goals import Goal
from pets.attacks.methods import Method
from pets.attacks.objective import canvas, cut, misclassify
from pets.attacks.pictures import batch_by_batch, read_pictures
from pets.classifier.classifier import Classifier
from pets.core.progress import progress_bar
from pets.dataset import file_stem
from pets.images.decoding import decode
from pets.images.png import save_png


@dataclass(frozen=True)
class Outcome:
    """One picture by one attack: its facts, the original and the saved result, uint8 [height, width, 3]."""

    facts: dict[str, Any]
    original: np.ndarray
    result: np.ndarray


def attack_goals(
    classifier: Classifier, goals: Sequence[Goal], methods: Sequence[Method], raw: Path, folder: Path
) -> list[Outcome]:
    """Every goal's pictures by the first method, and those of the first goal that has any by all methods."""
    filled = [goal for goal in goals if len(goal.images)]
    plan = [(goal, methods if goal is filled[0] else methods[:1]) for goal in filled]
    total = sum(len(goal.images) * len(chosen) for goal, chosen in plan)
    outcomes: list[Outcome] = []
    with progress_bar(total, "adversarial pictures", "pictures") as progress:
        for goal, chosen in plan:
            outcomes += attack(classifier, goal, chosen, raw, folder, progress.update)
    return outcomes


def attack(
    classifier: Classifier,
    goal: Goal,
    methods: Sequence[Method],
    raw: Path,
    folder: Path,
    update: Callable[[int], object],
) -> list[Outcome]:
    """Attack a goal's pictures by each method; save the results as <goal>_<attack>_<file_stem>.png.

    ``update`` is called with the number of pictures that are done. Whether a picture fools before it is
    saved is by the attack's differentiable path, after it by embed's.
    """
    pictures = read_pictures(goal.images, raw)
    found = [
        facts for method in methods for facts in _attempts(classifier, goal, method, pictures, folder, update)
    ]
    files = [folder / f"{file_name(facts)}.png" for facts in found]
    after = classifier.probabilities_of_files(files) @ torch.nn.functional.one_hot(goal.groups).double()
    outcomes = []
    for number, (facts, file, probabilities) in enumerate(zip(found, files, after, strict=True)):
        truth, target = goal.names.index(facts["truth"]), goal.names.index(facts["target"])
        facts |= {
            "fooled": bool(probabilities.argmax() == target),
            "truth_after": float(probabilities[truth]),
            "target_after": float(probabilities[target]),
        }
        original = pictures[number % len(pictures)].permute(1, 2, 0).numpy()
        outcomes.append(Outcome(facts, original, decode(file.read_bytes()).pixels))
    return outcomes


def _attempts(
    classifier: Classifier,
    goal: Goal,
    method: Method,
    pictures: Sequence[torch.Tensor],
    folder: Path,
    update: Callable[[int], object],
) -> list[dict[str, Any]]:
    """Attack by one method and save: the facts of each picture that are known before it is read again."""
    targets = torch.tensor([goal.names.index(each) for each in goal.images["target"]])
    members = torch.nn.functional.one_hot(goal.groups).double()
    attempts: list[dict[str, Any]] = []

    def work(batch: list[int]) -> None:
        originals, sizes = canvas([pictures[row] for row in batch])
        objective = misclassify(classifier, sizes, targets[batch], targeted=True, groups=goal.groups)
        found = method.search(objective, originals, sizes)
        saved = method.quantize(objective, originals, found)
        unsaved = classifier.probabilities(cut(found.images, sizes)) @ members
        changes = (saved - originals).flatten(1)
        before = (found.images - originals).flatten(1)
        facts = [
            {
                "goal": goal.name,
                "attack": method.name,
                "constraint": method.constraint,
                "image_id": row.image_id,
                "label": row.label,
                "truth": row.truth,
                "target": row.target,
                "steps": int(found.steps[i]),
                "non_finite": bool(found.non_finite[i]),
                "surrogate": classifier.head.has_surrogate,
                "fooled_before_saving": bool(unsaved[i].argmax() == targets[batch[i]]),
                "truth_before": row.truth_before,
                "target_before": row.target_before,
                "l2_before_saving": float(before[i].norm()),
                "l2": float(changes[i].norm()),
                "levels": int((255 * changes[i]).abs().max().round()),
            }
            for i, row in enumerate(goal.images.iloc[batch].itertuples())
        ]
        for picture, each in zip(cut(saved, sizes), facts, strict=True):
            save_png(picture, folder / f"{file_name(each)}.png")
        attempts.extend(facts)
        update(len(batch))

    batch_by_batch(classifier, pictures, work)
    return attempts


def file_name(facts: dict[str, Any]) -> str:
    """The goal, the attack and the image, in lower case and without spaces."""
    words = (part.replace(",", "").replace(" ", "_").lower() for part in (facts["goal"], facts["attack"]))
    return "_".join([*words, file_stem(facts["image_id"])])
