"""Labels that are probably wrong, by confident learning.

Every image gets the probabilities of a linear head that was fitted without it, and those that speak clearly
for another class are suspected (Northcutt, Jiang, Chuang: Confident learning: estimating uncertainty in
dataset labels, 2021).
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
# The share of images with the worst labels that a second fit leaves out: where one class's images are often
# called another, the first fit has learned that. With 2%, one more of 40 wrong labels of the Pets was found.
LEFT_OUT = 0.02


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
        """How far the best other class is ahead of the label [n], -1 to 1; -1 where that is not known."""
        margin = self.probabilities[np.arange(len(self.labels)), self.other] - self.own
        return np.where(self.known, margin, -1)

    @property
    def suspected(self) -> np.ndarray:
        """Images [n] whose probability of another class is as high as it is, in the mean, for that class's
        own images, and is the highest of all such classes: what confident learning counts as wrong."""
        classes = self.probabilities.shape[1]
        confidence = np.full(classes, np.inf)
        for each in np.unique(self.labels):
            confidence[each] = self.own[self.labels == each].mean()
        confident = np.where(self.probabilities >= confidence - 1e-6, self.probabilities, -1)
        return self.known & (confident.max(1) >= 0) & (confident.argmax(1) != self.labels)


def opinions(
    features: torch.Tensor, labels: np.ndarray, groups: np.ndarray, penalties: list[float], seed: int
) -> Opinions:
    """What heads that were fitted without an image say of it, by five-fold cross-validation.

    ``features`` float32 [n, dimensions], ``labels`` int64 [n]. Images of one group [n], such as duplicates,
    are left out together. The penalty with the best likelihood on the first fold is taken for all.
    """
    scaled, classes = _reduced(linear.scaled(features)), int(labels.max()) + 1
    fold = _folds(labels, groups, seed)
    kept = np.ones(len(labels), bool)
    with progress_bar(2 * FOLDS + 1, "labels", "fits") as bar:
        penalty = _penalty(scaled, labels, fold, penalties)
        bar.update()
        for _ in range(2):
            logits = np.zeros((len(labels), classes), np.float32)
            known = np.zeros(len(labels), bool)
            for each in range(FOLDS):
                train, left = kept & (fold != each), fold == each
                logits[left] = _logits(scaled, labels, train, left, classes, [penalty])[0]
                known[left] = np.isin(labels[left], labels[train])
                bar.update()
            found = _opinions(logits, labels, known)
            worst = np.argsort(-found.scores, kind="stable")[: int(LEFT_OUT * len(labels))]
            kept[worst] = False
    return found


def _reduced(features: torch.Tensor) -> torch.Tensor:
    """Centred features on their first principal axes, float32 [n, at most AXES]."""
    centred = features - features.mean(0)
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
    counts = np.bincount(labels, minlength=classes)
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


def _opinions(logits: np.ndarray, labels: np.ndarray, known: np.ndarray) -> Opinions:
    counts = np.bincount(labels, minlength=logits.shape[1])
    of_logits, of_labels = torch.from_numpy(logits), torch.from_numpy(labels)
    calibration = calibrate(of_logits, of_labels, counts)
    probabilities = calibration.log_probabilities(of_logits.double()).exp().numpy()
    return Opinions(probabilities, labels, known)
