"""Which test images are attacked, and what each is to be classified as."""

from dataclasses import dataclass
from itertools import permutations

import numpy as np
import pandas as pd
import torch

from pets.attacks.pictures import classes_of
from pets.dataset import species_of


@dataclass(frozen=True)
class Goal:
    """Test images that are classified correctly, and what each is to be classified as.

    ``names`` are the possible targets, breeds or species; ``groups`` [classes] is the place among them of
    each class. ``images`` has a row for each picture: image_id, label, path, truth, target, and the
    probabilities of these two before the attack, truth_before and target_before.
    """

    name: str
    names: list[str]
    groups: torch.Tensor
    images: pd.DataFrame


def choose_goals(test: pd.DataFrame, probabilities: np.ndarray, classes: list[str], count: int) -> list[Goal]:
    """Each species into each other species, and each label into the one that it is most confused with.

    ``test``: image_id, label, species, path in the order of choice; ``probabilities`` [n, classes] of the
    same rows. Only images that are classified correctly are chosen, one of each label before a second of any;
    there may be fewer than ``count``.
    """
    label = classes_of(test, classes).numpy()
    correct = probabilities.argmax(1) == label
    rows = np.arange(len(test))
    test = test.assign(position=rows, turn=test[correct].groupby("label").cumcount())

    def goal(name: str, names: pd.Index, groups: np.ndarray, targets: np.ndarray) -> Goal:
        """``targets``: the place among ``names`` that each of them is to be taken for, or -1 for none."""
        likely = probabilities @ np.eye(len(names))[groups]  # [n, names]
        truth = groups[label]
        target = targets[truth]
        images = test.assign(
            truth=names[truth],
            target=names[target],
            truth_before=likely[rows, truth],
            target_before=likely[rows, target],
        )[correct & (likely.argmax(1) == truth) & (target >= 0)]
        images = images.sort_values(["turn", "position"]).head(count).reset_index(drop=True)
        return Goal(name, list(names), torch.from_numpy(groups), images)

    found = []
    species = species_of(test, classes)
    if species.notna().all():
        groups, names = pd.factorize(species, sort=True)
        for one, other in permutations(range(len(names)), 2):
            targets = np.where(np.arange(len(names)) == one, other, -1)
            found.append(goal(f"{names[one]} to {names[other]}", names, groups, targets))
    # A label's closest class is the other label with the highest mean probability over its images.
    mean = np.zeros((len(classes), len(classes)))
    for each in np.unique(label):
        mean[each] = probabilities[label == each].mean(0)
    np.fill_diagonal(mean, -1)
    found.append(goal("to its closest class", pd.Index(classes), np.arange(len(classes)), mean.argmax(1)))
    return sorted(found, key=lambda goal: goal.name != "dog to cat")  # the classic first
