"""Which test images are attacked, and what each is to be classified as."""

import numpy as np
import pandas as pd
import pytest

from pets.attacks.goals import choose_goals
from tests.classifier.tiny import CLASSES

SPECIES = ["cat", "cat", "dog", "dog"]


def images(each: int, species: bool = True) -> tuple[pd.DataFrame, np.ndarray]:
    """``each`` images of each class; every third is misclassified as the next class."""
    labels = np.tile(np.arange(4), each)
    rows = pd.DataFrame(
        {
            "image_id": [f"{CLASSES[label]}_{i}" for i, label in enumerate(labels)],
            "label": [CLASSES[label] for label in labels],
            "species": [SPECIES[label] if species else None for label in labels],
            "path": "",
        }
    )
    probabilities = np.full((len(labels), 4), 0.05)
    probabilities[np.arange(len(labels)), (labels + 1) % 4] = 0.2
    predicted = np.where(np.arange(len(labels)) % 3 == 0, (labels + 1) % 4, labels)
    probabilities[np.arange(len(labels)), predicted] = 0.7
    return rows, probabilities / probabilities.sum(1, keepdims=True)


def test_only_correctly_classified_images_are_chosen_and_every_breed_before_a_second_of_any() -> None:
    rows, probabilities = images(each=9)
    found = {goal.name: goal for goal in choose_goals(rows, probabilities, CLASSES, 4)}
    assert list(found) == ["dog to cat", "cat to dog", "to its closest class"]
    predicted = dict(zip(rows["image_id"], probabilities.argmax(1), strict=True))
    for goal in found.values():
        assert len(goal.images) == 4
        assert all(CLASSES[predicted[row.image_id]] == row.label for row in goal.images.itertuples())
    assert set(found["to its closest class"].images["label"]) == set(CLASSES)
    assert set(found["dog to cat"].images["label"]) == {"beagle", "pug"}


def test_the_target_is_the_other_species_or_the_most_confused_class() -> None:
    rows, probabilities = images(each=9)
    dogs, cats, neighbours = choose_goals(rows, probabilities, CLASSES, 4)
    assert set(dogs.images["truth"]) == {"dog"}
    assert set(dogs.images["target"]) == {"cat"}
    assert set(cats.images["target"]) == {"dog"}
    following = dict(zip(CLASSES, [*CLASSES[1:], CLASSES[0]], strict=True))
    assert all(following[str(row.label)] == row.target for row in neighbours.images.itertuples())
    first = neighbours.images.iloc[0]
    at = list(rows["image_id"]).index(first["image_id"])
    assert first["truth_before"] == pytest.approx(probabilities[at, CLASSES.index(first["label"])])
    assert dogs.images.iloc[0]["target_before"] == pytest.approx(1 - dogs.images.iloc[0]["truth_before"])


def test_there_may_be_fewer_images_than_wanted_and_without_species_there_are_only_labels() -> None:
    rows, probabilities = images(each=3, species=False)
    (only,) = choose_goals(rows, probabilities, CLASSES, 50)
    assert only.name == "to its closest class"
    assert len(only.images) == 8
