"""A head's metrics on the test images without some of them, beside those on all."""

from collections.abc import Collection, Mapping

import numpy as np
import pandas as pd

from pets.audit.decisions import KEEP
from pets.audit.duplicates import groups
from pets.audit.kinds import DUPLICATE, LABEL, WRONG
from pets.metrics.bootstrap import CHUNK
from pets.metrics.evaluation import HEADLINE
from pets.metrics.metrics import weighted


def leaked(table: pd.DataFrame) -> set[str]:
    """Test images that are duplicates of a training or validation image, but pairs that were kept.

    Duplicates of duplicates count, too.
    """
    pairs = table[(table["kind"] == DUPLICATE) & (table["verdict"] != KEEP)]
    other = pairs[["other", "other_split"]].set_axis(["image_id", "split"], axis=1)
    ends = pd.concat([pairs[["image_id", "split"]], other])  # all first images, then all second ones
    image, names = pd.factorize(ends["image_id"])
    group = groups(len(names), image.reshape(2, -1).T)[image]
    seen = np.isin(group, group[ends["split"] != "test"])
    return {*ends.loc[(ends["split"] == "test").to_numpy() & seen, "image_id"]}


def mislabelled(table: pd.DataFrame) -> set[str]:
    """Images whose label is probably wrong, the score at least ``WRONG``, but those that were kept."""
    wrong = (table["kind"] == LABEL) & (table["score"] >= WRONG) & (table["verdict"] != KEEP)
    return {*table.loc[wrong, "image_id"]}


def without_each(
    predictions: pd.DataFrame,
    classes: list[str],
    sets: Mapping[str, Collection[str]],
    samples: int,
    seed: int,
) -> pd.DataFrame:
    """The rows of `without` for each of ``sets`` of image_ids, with its name, ``without``, and ``left_out``.

    ``predictions``: image_id, label and probabilities of the test images.
    """
    probabilities = np.stack(predictions["probabilities"].to_list()).astype(np.float64)
    labels = pd.Categorical(predictions["label"], categories=classes).codes.astype(np.int64)
    tables = []
    for name, images in sets.items():
        left_out = predictions["image_id"].isin(images).to_numpy()
        rows = without(probabilities, labels, left_out, samples, seed)
        tables.append(rows.assign(without=name, left_out=int(left_out.sum())))
    return pd.concat(tables)


def without(
    probabilities: np.ndarray, labels: np.ndarray, left_out: np.ndarray, samples: int, seed: int
) -> pd.DataFrame:
    """A row for each headline metric: metric, images, value, low, high, difference, difference_low, .._high.

    ``probabilities`` [n, k] and ``labels`` [n] of all test images, ``left_out`` bool [n]. The difference is
    the value minus that of all images. Intervals are 95% bootstrap percentiles; both values are of the same
    samples of images, so that the difference has a paired interval. Where no image is left, the values are
    missing; a sample with none of those that are left counts for no interval.
    """
    kept = ~left_out
    generator = np.random.default_rng(seed)
    sampled = []
    for start in range(0, samples, CHUNK):
        size = min(CHUNK, samples - start)
        counts = generator.multinomial(len(labels), np.full(len(labels), 1 / len(labels)), size=size)
        sampled.append(_both(probabilities, labels, counts.astype(float), kept))
    once = _both(probabilities, labels, np.ones((1, len(labels))), kept)[:, 0, 0]
    every = np.concatenate(sampled, axis=2)
    every = every[..., ~np.isnan(every).any((0, 1))] if kept.any() else every
    low, high = np.percentile(every, (2.5, 97.5), axis=2)
    columns: dict[str, np.ndarray] = {}
    for at, name in enumerate(("", "difference")):
        prefix = f"{name}_" if name else ""
        columns |= {
            name or "value": once[at::2],
            f"{prefix}low": low[at::2, 0],
            f"{prefix}high": high[at::2, 0],
        }
    return pd.DataFrame({"metric": HEADLINE, "images": int(kept.sum()), **columns})


def _both(probabilities: np.ndarray, labels: np.ndarray, counts: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Each metric's value on the kept images, and its difference from all: [2 * metrics, 1, samples]."""
    whole = weighted(probabilities, labels, counts)
    part = {name: np.full(len(counts), np.nan) for name in HEADLINE}
    drawn = counts[:, kept].sum(1) > 0
    if drawn.any():
        for name, values in weighted(probabilities[kept], labels[kept], counts[drawn][:, kept]).items():
            part.setdefault(name, np.full(len(counts), np.nan))[drawn] = values
    return np.stack([row for name in HEADLINE for row in (part[name], part[name] - whole[name])])[:, None]
