"""Which test images are attacked, and what each is to be classified as."""

from dataclasses import dataclass

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
    test = test.assign(position=np.arange(len(test)), turn=test[correct].groupby("label").cumcount())
    found = []
    species = species_of(test, classes)
    if species.notna().all():
        codes, names = pd.factorize(species, sort=True)
        by_species = probabilities @ np.eye(len(names))[codes]
        truth = codes[label]
        known = correct & (by_species.argmax(1) == truth)
        for one in range(len(names)):
            for other in range(len(names)):
                if one != other:
                    chosen = test[known & (truth == one)].assign(truth=names[one], target=names[other])
                    chosen["truth_before"] = by_species[chosen["position"], one]
                    chosen["target_before"] = by_species[chosen["position"], other]
                    name = f"{names[one]} to {names[other]}"
                    found.append(Goal(name, list(names), torch.tensor(codes), _first(chosen, count)))
    found.append(_to_neighbours(test, probabilities, classes, label, correct, count))
    return sorted(found, key=lambda goal: goal.name != "dog to cat")  # the classic first


def _to_neighbours(
    test: pd.DataFrame,
    probabilities: np.ndarray,
    classes: list[str],
    label: np.ndarray,
    correct: np.ndarray,
    count: int,
) -> Goal:
    """A label's neighbour is the other label with the highest mean probability over its images."""
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
    )[correct]
    return Goal("to its neighbour", classes, torch.arange(len(classes)), _first(chosen, count))


def _first(images: pd.DataFrame, count: int) -> pd.DataFrame:
    return images.sort_values(["turn", "position"]).head(count).reset_index(drop=True)
