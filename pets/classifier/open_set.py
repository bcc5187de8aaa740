"""How well a model tells unknown pictures: of other data sets, and of classes that it never saw."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch

from pets import heads
from pets.classifier.fitted_head import FittedHead
from pets.classifier.unknown import SCORES, Unknown, memory_of, without
from pets.core.progress import progress_bar
from pets.heads import Examples
from pets.metrics.auroc import auroc, auroc_interval, mean_interval

LEFT_OUT = "classes left out"  # the name of that row
BINS = 48  # of the histogram


@dataclass(frozen=True)
class OpenSet:
    """Tables. A picture is called unknown where its score is above the model's threshold.

    ``auroc``: a row for each kind of unknown pictures and score: unknown, score, images, auroc, low and high
    (its 95% interval), called_unknown (the share, by the chosen score), known_pass (the share of the test
    images that are not), threshold (of the chosen score), chosen. ``classes``: a row for each class that was
    left out: label, images, auroc, called_unknown. ``histogram`` of the chosen score: pictures (test, classes
    left out, or a data set), from, to, share.
    """

    auroc: pd.DataFrame
    classes: pd.DataFrame
    histogram: pd.DataFrame


def measure(
    head: FittedHead,
    unknown: Unknown,
    setting: dict[str, Any],
    examples: Examples,
    test: Examples,
    others: Mapping[str, torch.Tensor],
    groups: int,
    samples: int,
    seed: int,
) -> OpenSet:
    """Measure a model by its ``test`` images, and by ``others``, features by data set.

    ``examples`` are the images that the head was fitted on. The classes are left out of a fit with the same
    ``setting``, each in turn, or in so many ``groups`` where there are more: their test images are unknown,
    those of the others known. An interval is of ``samples`` bootstrap samples, of images, or of classes.
    """
    unknown = replace(unknown, memory=memory_of(examples, seed))  # a model keeps it only if it needs it
    rows = []
    values = {"test": unknown.scores(head, test.features).numpy()}
    for name, features in others.items():
        for score in SCORES:
            low, high = (unknown.scores(head, each, score).numpy() for each in (test.features, features))
            interval = auroc_interval(low, high, samples, seed)
            rows.append((name, score, len(high), auroc(low, high), *interval))
        values[name] = unknown.scores(head, features).numpy()
    by_class, values[LEFT_OUT] = _leave_out(head, unknown, setting, examples, test, groups, seed)
    for score in SCORES:
        found = by_class[score].to_numpy(float)
        images = len(values[LEFT_OUT])
        rows.append((LEFT_OUT, score, images, found.mean(), *mean_interval(found, samples, seed)))
    table = pd.DataFrame(rows, columns=["unknown", "score", "images", "auroc", "low", "high"])
    shares = {name: float((each > unknown.threshold).mean()) for name, each in values.items()}
    table["called_unknown"] = table["unknown"].map(shares).where(table["score"] == unknown.score)
    table["known_pass"] = 1 - shares["test"]
    table["threshold"] = np.where(table["score"] == unknown.score, unknown.threshold, np.nan)
    table["chosen"] = table["score"] == unknown.score
    classes = by_class.assign(auroc=by_class[unknown.score]).drop(columns=list(SCORES))
    return OpenSet(table, classes, _histogram(values))


def _leave_out(
    head: FittedHead,
    unknown: Unknown,
    setting: dict[str, Any],
    examples: Examples,
    test: Examples,
    groups: int,
    seed: int,
) -> tuple[pd.DataFrame, np.ndarray]:
    """A row for each class that has test images (label, images, called_unknown, and each score's AUROC), and
    the chosen score of all images of left out classes."""
    labels = test.labels.cpu().numpy()
    order = np.random.default_rng(seed).permutation(len(head.classes))
    rows, of_unknown = [], []
    with progress_bar(len(order), "classes left out", "classes") as bar:
        for left_out in filter(len, np.array_split(order, min(groups, len(order)))):
            logits, known = without(heads.load(head.name), examples, left_out, setting, seed)
            memory = memory_of(known, seed)
            outputs = logits(test.features).double() / head.calibration.temperature
            scores = {
                name: score(outputs, test.features, memory).double().cpu().numpy()
                for name, score in SCORES.items()
            }
            seen = ~np.isin(labels, left_out)
            for index in left_out:
                own = labels == index
                if own.any() and seen.any():
                    chosen = scores[unknown.score][own]
                    areas = [auroc(values[seen], values[own]) for values in scores.values()]
                    called = float((chosen > unknown.threshold).mean())
                    rows.append((head.classes[index], int(own.sum()), called, *areas))
                    of_unknown.append(chosen)
            bar.update(len(left_out))
    table = pd.DataFrame(rows, columns=["label", "images", "called_unknown", *SCORES])
    return table.sort_values("label", ignore_index=True), np.concatenate(of_unknown or [np.empty(0)])


def _histogram(values: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """The share of each group's scores in bins of equal width, over all but the most extreme scores."""
    every = np.concatenate(list(values.values()))
    low, high = np.percentile(every, (0.5, 99.5))
    edges = np.linspace(low, high, BINS + 1)
    tables = [
        pd.DataFrame(
            {
                "pictures": name,
                "from": edges[:-1],
                "to": edges[1:],
                "share": np.histogram(np.clip(each, edges[0], edges[-1]), edges)[0] / max(len(each), 1),
            }
        )
        for name, each in values.items()
    ]
    return pd.concat(tables, ignore_index=True)
