"""What a model says of pictures, by their features: class, species, and whether they are of none it knows."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from pets.classifier.fitted_head import FittedHead
from pets.classifier.unknown import Unknown

TOP = 5  # classes named


@dataclass(frozen=True)
class Named:
    """A picture: its most probable class, and the first five with their calibrated probabilities."""

    label: str
    probability: float
    unknown: bool
    unknown_score: float
    species: str | None
    labels: list[str]
    probabilities: list[float]


def name_pictures(
    head: FittedHead, unknown: Unknown, species: Mapping[str, str | None], features: torch.Tensor
) -> list[Named]:
    """For each of the ``features`` [n, dimensions]; ``species`` by class, None where it has none."""
    probabilities = head.probabilities(features)
    scores = unknown.scores(head, features).tolist()
    kinds = _species(probabilities, [species[label] for label in head.classes])
    best = probabilities.topk(min(TOP, len(head.classes)))
    found = []
    for score, kind, indices, values in zip(
        scores, kinds, best.indices.tolist(), best.values.tolist(), strict=True
    ):
        labels = [head.classes[index] for index in indices]
        found.append(Named(labels[0], values[0], score > unknown.threshold, score, kind, labels, values))
    return found


def _species(probabilities: torch.Tensor, kinds: list[str | None]) -> list[str | None]:
    """Each picture's species, of which the classes have the largest sum of ``probabilities`` [n, classes]."""
    names = sorted({kind for kind in kinds if kind})
    if not names:
        return [None] * len(probabilities)
    sums = torch.stack([probabilities[:, [kind == each for kind in kinds]].sum(1) for each in names], 1)
    return [names[index] for index in sums.argmax(1)]
