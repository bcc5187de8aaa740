"""Accuracy against the number of training images: a head fitted on a few images of each class.

As few-shot linear probes are measured (Radford et al.: Learning transferable visual models from natural
language supervision, ICML 2021), with several draws of the images.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import torch

from pets.core.progress import progress_bar
from pets.heads import Examples, Head
from pets.metrics.metrics import measure


def learning_curve(
    head: Head,
    train: Examples,
    validation: Examples,
    test: Examples,
    classes: int,
    settings: Any,
    sizes: list[int],
    draws: int,
    seed: int,
) -> pd.DataFrame:
    """A row for each size and draw: images_per_class (the size), draw, images, top1, mean_per_class.

    The last row has all images, and as its size their mean number per class; only smaller sizes are measured
    beside it. Of a class with fewer images than the size all are taken. The setting with the best top-1 on
    ``validation`` is chosen, the first of equals; other than in `pets.classifier.training`, the head stays
    fitted on the drawn images alone. A size that leaves a head nothing to try (fewer images than neighbours)
    has no rows.
    """
    labels = train.labels.cpu().numpy()
    drawn = list(subsets(labels, sizes, draws, seed))
    rows = []
    with progress_bar(len(drawn), "learning curve", "fits") as bar:
        for size, draw, chosen in drawn:
            images = Examples(train.features[chosen], train.labels[chosen])
            logits = _fitted_logits(head, images, validation, test.features, classes, settings, seed)
            bar.update()
            if logits is not None:
                scores = measure(logits.double().softmax(1).cpu().numpy(), test.labels.cpu().numpy())
                rows.append((size, draw, len(chosen), scores["top1"], scores["mean_per_class"]))
    return pd.DataFrame(rows, columns=["images_per_class", "draw", "images", "top1", "mean_per_class"])


def _fitted_logits(
    head: Head,
    drawn: Examples,
    validation: Examples,
    features: torch.Tensor,
    classes: int,
    settings: Any,
    seed: int,
) -> torch.Tensor | None:
    """The logits of ``features`` by the head fitted on ``drawn``, or None where no setting can be tried."""
    trials = head.trials(drawn, validation, classes, settings, seed)
    best: tuple[int, dict[str, torch.Tensor]] | None = None
    for trial in trials:
        hits = int((head.logits(trial.tensors, validation.features).argmax(1) == validation.labels).sum())
        if best is None or hits > best[0]:
            best = hits, trial.tensors
    return None if best is None else head.logits(best[1], features)


def subsets(
    labels: np.ndarray, sizes: list[int], draws: int, seed: int
) -> Iterator[tuple[float, int, torch.Tensor]]:
    """Size, draw and the indices of the images; a draw's smaller subsets are part of its larger ones."""
    mean = len(labels) / len(np.unique(labels))
    for draw in range(draws):
        order = np.random.default_rng([seed, draw]).permutation(len(labels))
        rank = pd.Series(labels[order]).groupby(labels[order]).cumcount().to_numpy()  # within its class
        for size in sizes:
            if size < mean:
                yield size, draw, torch.from_numpy(np.sort(order[rank < size]))
    yield mean, 0, torch.arange(len(labels))
