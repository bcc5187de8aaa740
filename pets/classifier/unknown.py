"""Pictures of no known class: a score that is high for them, and the threshold above which one is unknown.

A head gives every picture one of its classes, often with a high probability. What tells a picture of another
kind is one of `SCORES`, chosen and given its threshold without a single picture of another kind: classes of
the data set itself are left out of a fit in turn and stand for the unknown.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from pets import heads
from pets.classifier.fitted_head import FittedHead
from pets.core.files import read_json
from pets.heads import Examples, Head, unit
from pets.metrics.auroc import auroc

PASS = 0.95  # the share of known pictures that are to be called known
NEIGHBOUR = 10  # whose distance is the score
MEMORY = 20_000  # training vectors at most, for the neighbours and for the comparison of the scores
ASKED = 20_000  # validation images at most, of which the share that passes is known to 0.3 points
FOLDS = 3  # groups of classes that are left out in turn
CHUNK = 4096  # images compared with the memory at a time

Score = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


def max_logit(logits: torch.Tensor, features: torch.Tensor, memory: torch.Tensor) -> torch.Tensor:
    """Minus the largest logit (Hendrycks et al.: Scaling out-of-distribution detection for real-world
    settings, ICML 2022)."""
    return -logits.amax(1)


def energy(logits: torch.Tensor, features: torch.Tensor, memory: torch.Tensor) -> torch.Tensor:
    """The free energy, minus the logarithm of the sum of exponentials (Liu, Wang, Owens, Li: Energy-based
    out-of-distribution detection, NeurIPS 2020)."""
    return -logits.logsumexp(1)


def neighbours(logits: torch.Tensor, features: torch.Tensor, memory: torch.Tensor) -> torch.Tensor:
    """One minus the cosine of the 10th nearest training vector (Sun, Ming, Zhu, Li: Out-of-distribution
    detection with deep nearest neighbors, ICML 2022)."""
    return _distance(features, memory, NEIGHBOUR)


def max_probability(logits: torch.Tensor, features: torch.Tensor, memory: torch.Tensor) -> torch.Tensor:
    """Minus the probability of the most likely class (Hendrycks, Gimpel: A baseline for detecting
    misclassified and out-of-distribution examples, ICLR 2017)."""
    return -logits.softmax(1).amax(1)


SCORES: dict[str, Score] = {
    "neighbours": neighbours,
    "energy": energy,
    "max_logit": max_logit,
    "max_probability": max_probability,
}


@dataclass(frozen=True)
class Unknown:
    """Which of `SCORES` is used, the ``threshold`` above which a picture is unknown, and what they need.

    ``memory`` [m, dimensions], float16, are training vectors of unit length, kept only for "neighbours".
    """

    score: str
    threshold: float
    memory: torch.Tensor

    @torch.inference_mode()
    def scores(self, head: FittedHead, features: torch.Tensor, score: str | None = None) -> torch.Tensor:
        """The chosen score [n], or another, float64, of features [n, dimensions]: high where unknown."""
        logits = head.uncalibrated(features).double() / head.calibration.temperature
        return SCORES[score or self.score](logits, features, self.memory).double().cpu()

    def save(self, folder: Path) -> dict[str, Any]:
        """Write unknown.safetensors into a model's folder; returns what head.json keeps as "unknown"."""
        needed = self.memory if self.score == "neighbours" else self.memory[:0]
        save_file({"memory": needed.cpu().contiguous()}, folder / "unknown.safetensors")
        return {"score": self.score, "threshold": self.threshold}


def load_unknown(folder: Path) -> Unknown:
    """What `Unknown.save` wrote."""
    described = read_json(folder / "head.json")["unknown"]
    return Unknown(**described, memory=load_file(folder / "unknown.safetensors")["memory"])


def fit_unknown(
    on_train: FittedHead, setting: dict[str, Any], train: Examples, validation: Examples, seed: int
) -> tuple[Unknown, dict[str, float]]:
    """The chosen score with its threshold, and the mean AUROC by which it was chosen, of each score.

    ``on_train`` is the head fitted on ``train`` alone with that ``setting``. Three groups of classes are left
    out of its fit in turn; their validation images are the unknown, all others the known. The threshold lets
    95% of all validation images pass. Both are for the head fitted on training and validation images.
    """
    temperature = on_train.calibration.temperature
    memory = memory_of(train + validation, seed)
    # The memory has the validation images too, unless it is a small sample: each one's nearest is itself.
    itself = int(len(train) + len(validation) <= MEMORY)
    some, validation = sample(train, MEMORY, seed), sample(validation, ASKED, seed)
    found: dict[str, list[float]] = {name: [] for name in SCORES}
    groups = np.array_split(np.random.default_rng(seed).permutation(len(on_train.classes)), FOLDS)
    for left_out in filter(len, groups):
        is_unknown = np.isin(validation.labels.cpu(), left_out)
        if is_unknown.all() or not is_unknown.any():
            continue
        head, known = without(heads.load(on_train.name), some, left_out, setting, seed)
        logits = head(validation.features).double() / temperature
        for name, score in SCORES.items():
            values = score(logits, validation.features, unit(known.features)).cpu().numpy()
            found[name].append(auroc(values[~is_unknown], values[is_unknown]))
    means = {name: float(np.mean(values)) if values else 0.5 for name, values in found.items()}
    chosen = max(means, key=lambda name: means[name])

    unknown = Unknown(chosen, 0, memory)
    if chosen == "neighbours":
        on_validation = _distance(validation.features, memory, NEIGHBOUR + itself).double()
    else:
        on_validation = unknown.scores(on_train, validation.features)
    return replace(unknown, threshold=float(on_validation.quantile(PASS))), means


def _distance(features: torch.Tensor, memory: torch.Tensor, rank: int) -> torch.Tensor:
    """One minus the cosine of the vector in the memory that comes at that rank, for each of the features."""
    known, rank = memory.to(features.dtype), min(rank, len(memory))
    parts = [(chunk @ known.T).topk(rank).values[:, -1] for chunk in unit(features).split(CHUNK)]
    return 1 - torch.cat(parts)


def without(
    head: Head, examples: Examples, left_out: np.ndarray, setting: dict[str, Any], seed: int
) -> tuple[Callable[[torch.Tensor], torch.Tensor], Examples]:
    """A head fitted without some classes, from features to the others' logits, and its examples."""
    labels = examples.labels.cpu().numpy()
    kept = ~np.isin(labels, left_out)
    classes, renumbered = np.unique(labels[kept], return_inverse=True)
    rows = torch.from_numpy(np.flatnonzero(kept)).to(examples.labels.device)
    known = Examples(examples.features[rows], torch.from_numpy(renumbered).to(examples.labels))
    tensors = head.fit(known, len(classes), setting, seed)
    return lambda features: head.logits(tensors, features), known


def memory_of(examples: Examples, seed: int) -> torch.Tensor:
    """What `neighbours` compares with: vectors of unit length, float16, of at most 20,000 examples."""
    return unit(sample(examples, MEMORY, seed).features).half()


def sample(examples: Examples, most: int, seed: int) -> Examples:
    """So many of the examples at most, drawn by the seed, in their order."""
    if len(examples) <= most:
        return examples
    drawn = np.sort(np.random.default_rng(seed).choice(len(examples), most, replace=False))
    rows = torch.from_numpy(drawn).to(examples.labels.device)
    return Examples(examples.features[rows], examples.labels[rows])
