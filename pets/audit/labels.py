"""Labels that are probably wrong, by the probabilities of heads that were fitted without the image.

An image is the more suspicious the higher the odds of another class against its label. Of labels changed for
a trial on the Pets, the difference of the two probabilities and the thresholds of confident learning
(Northcutt, Jiang, Chuang: Confident learning: estimating uncertainty in dataset labels, 2021) found fewer.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from pets.classifier.calibration import calibrate
from pets.core.progress import progress_bar
from pets.heads import linear

FOLDS = 5
# Principal axes of the features: as many wrong labels of the Pets were found as with all, in half the time.
AXES = 256


@dataclass(frozen=True)
class Opinions:
    """``probabilities`` float64 [n, k] of images by heads that were fitted without them, and ``labels`` [n].

    ``known`` [n]: whether the image's own class was among the images of that fit.
    """

    probabilities: np.ndarray
    labels: np.ndarray
    known: np.ndarray

    @property
    def own(self) -> np.ndarray:
        """The probability of each image's label [n]."""
        return self.probabilities[np.arange(len(self.labels)), self.labels]

    @property
    def other(self) -> np.ndarray:
        """Each image's most probable class other than its label [n]."""
        probabilities = self.probabilities.copy()
        probabilities[np.arange(len(self.labels)), self.labels] = -1
        return probabilities.argmax(1)

    @property
    def scores(self) -> np.ndarray:
        """The probability of the best other class, if it is that or the label [n]; 0 where not known."""
        other = self.probabilities[np.arange(len(self.labels)), self.other]
        return np.where(self.known, other / (other + self.own), 0)


def opinions(
    features: torch.Tensor, labels: np.ndarray, groups: np.ndarray, penalties: list[float], seed: int
) -> Opinions:
    """What heads that were fitted without an image say of it, by five-fold cross-validation.

    ``features`` float32 [n, dimensions], ``labels`` int64 [n]. Images of one group [n], such as duplicates,
    are left out together. The penalty with the best likelihood on the first fold is taken for all.
    """
    scaled, classes = _reduced(linear.scaled(features)), int(labels.max()) + 1
    fold = _folds(labels, groups, seed)
    if fold.max() == 0:  # each class is one group: nothing is known of it without that
        return Opinions(np.eye(classes)[labels], labels, np.zeros(len(labels), bool))
    logits = np.zeros((len(labels), classes), np.float32)
    known = np.zeros(len(labels), bool)
    with progress_bar(FOLDS + 1, "labels", "fits") as bar:
        penalty = _penalty(scaled, labels, fold, penalties)
        bar.update()
        for each in np.unique(fold):
            train, left = fold != each, fold == each
            logits[left] = _logits(scaled, labels, train, left, classes, [penalty])[0]
            known[left] = np.isin(labels[left], labels[train])
            bar.update()
    calibration = calibrate(torch.from_numpy(logits), torch.from_numpy(labels), np.bincount(labels))
    probabilities = calibration.log_probabilities(torch.from_numpy(logits).double()).exp().numpy()
    return Opinions(probabilities, labels, known)


def _reduced(features: torch.Tensor) -> torch.Tensor:
    """Centred features on their first principal axes, float32 [n, at most AXES]."""
    centred = features - features.mean(0)
    images, dimensions = centred.shape
    if images < dimensions:
        squares, axes = torch.linalg.eigh((centred @ centred.T).double())  # the smaller Gram matrix
        return (axes * squares.clamp_min(0).sqrt())[:, -AXES:].float()
    _, axes = torch.linalg.eigh((centred.T @ centred).double())
    return centred @ axes[:, -AXES:].float()


def _folds(labels: np.ndarray, groups: np.ndarray, seed: int) -> np.ndarray:
    """The fold [n] of each image: equally many of a label in each, and those of a group in one."""
    order = np.random.default_rng(seed).permutation(len(labels))
    table = pd.DataFrame({"label": labels[order], "group": groups[order], "image": order})
    first = table.drop_duplicates("group")
    fold = first.groupby("label").cumcount() % FOLDS
    of_group = pd.Series(fold.to_numpy(), index=first["group"])
    return table.sort_values("image")["group"].map(of_group).to_numpy()


def _penalty(features: torch.Tensor, labels: np.ndarray, fold: np.ndarray, penalties: list[float]) -> float:
    train, left = fold != 0, fold == 0
    classes = int(labels.max()) + 1
    of_left = torch.from_numpy(labels[left])
    counts = np.bincount(labels)
    tried = [
        calibrate(logits, of_left, counts).nll(logits, of_left)
        for logits in map(torch.from_numpy, _logits(features, labels, train, left, classes, penalties))
    ]
    return penalties[int(np.argmin(tried))]


def _logits(
    features: torch.Tensor, labels: np.ndarray, train: np.ndarray, left: np.ndarray, classes: int,
    penalties: list[float],
) -> np.ndarray:  # fmt: skip
    """The logits [penalties, left, classes] of the images left out."""
    weights, biases = linear.solve(features[train], torch.from_numpy(labels[train]), classes, penalties)
    return (features[left] @ weights + biases.unsqueeze(1)).numpy()
