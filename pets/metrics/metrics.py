"""Metrics of a classifier from its probabilities [n, k] and the labels [n] in 0..k-1.

Every metric is a function of how many times each image counts. Once each gives the metric itself; a bootstrap
sample is another row of counts, so that a thousand samples are a few matrix products.
"""

import numpy as np
import pandas as pd

BINS = 15  # of confidence, for the calibration error
MIN_PROBABILITY = 1e-12  # below it, the log-likelihood of a label with probability zero would be infinite


def measure(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """top1, top5 (where there are more than 5 classes), mean_per_class, macro_f1, nll (nats) and ece."""
    once = np.ones((1, len(labels)))
    return {name: float(values[0]) for name, values in weighted(probabilities, labels, once).items()}


def weighted(probabilities: np.ndarray, labels: np.ndarray, counts: np.ndarray) -> dict[str, np.ndarray]:
    """Each metric [b] for each row of ``counts`` [b, n], the number of times that each image counts.

    Mean per-class accuracy (mean_per_class) averages over the classes that occur. Macro F1 averages over the
    classes that occur or are predicted, as in scikit-learn. The expected calibration error (ece) has 15 bins
    of equal width (Guo, Pleiss, Sun, Weinberger: On calibration of modern neural networks, ICML 2017). Raises
    ValueError for labels outside 0..k-1 and for no images.
    """
    _check(probabilities, labels)
    classes = probabilities.shape[1]
    total = counts.sum(1)
    predicted = probabilities.argmax(1)
    correct = (predicted == labels).astype(float)
    one_hot_labels, one_hot_predicted = np.eye(classes)[labels], np.eye(classes)[predicted]

    true = counts @ one_hot_labels  # [b, k]: images of each class
    positive = counts @ one_hot_predicted
    hits = counts @ (one_hot_labels * correct[:, None])
    of_label = probabilities[np.arange(len(labels)), labels]
    gap = probabilities.max(1) - correct
    in_bin = np.eye(BINS)[_bins(probabilities.max(1))]
    metrics = {"top1": counts @ correct / total}
    if classes > 5:
        metrics["top5"] = counts @ (_rank(probabilities, labels) < 5) / total
    metrics["mean_per_class"] = _mean(hits, true, where=true > 0)
    metrics["macro_f1"] = _mean(2 * hits, true + positive, where=true + positive > 0)
    metrics["nll"] = counts @ -np.log(np.maximum(of_label, MIN_PROBABILITY)) / total
    metrics["ece"] = np.abs(counts @ (in_bin * gap[:, None])).sum(1) / total
    return metrics


def confusion_matrix(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Images [k, k] by label (rows) and prediction (columns)."""
    _check(probabilities, labels)
    classes = probabilities.shape[1]
    cells = labels * classes + probabilities.argmax(1)
    return np.bincount(cells, minlength=classes**2).reshape(classes, classes)


def confused_pairs(confusion: np.ndarray, classes: list[str], most: int) -> pd.DataFrame:
    """The off-diagonal cells with the most images: actual, predicted, images, share of the actual class."""
    off = confusion * (1 - np.eye(len(classes), dtype=confusion.dtype))
    rows, columns = np.nonzero(off)
    names = np.array(classes, dtype=object)
    images = off[rows, columns]
    share = images / confusion.sum(1)[rows]
    table = pd.DataFrame(
        {"actual": names[rows], "predicted": names[columns], "images": images, "share": share}
    )
    order = ["images", "share", "actual", "predicted"]
    return table.sort_values(order, ascending=[False, False, True, True], ignore_index=True).head(most)


def per_class(probabilities: np.ndarray, labels: np.ndarray, classes: list[str]) -> pd.DataFrame:
    """Accuracy of each class that occurs, with its 95% interval: label, accuracy, low, high, images."""
    confusion = confusion_matrix(probabilities, labels)
    images = confusion.sum(1)
    present = images > 0
    label, n, hits = np.array(classes, dtype=object)[present], images[present], confusion.diagonal()[present]
    low, high = wilson(hits, n)
    return pd.DataFrame({"label": label, "accuracy": hits / n, "low": low, "high": high, "images": n})


def wilson(hits: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The 95% interval of each share ``hits / n``: Wilson's (Probable inference, 1927).

    Brown, Cai and DasGupta recommend it for small n (Interval estimation for a binomial proportion, 2001).
    """
    from scipy.stats import binomtest  # takes a second, and not every user of this module needs it

    intervals = [binomtest(*each).proportion_ci(method="wilson") for each in zip(hits, n, strict=True)]
    return np.array([each.low for each in intervals]), np.array([each.high for each in intervals])


def reliability(probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS) -> pd.DataFrame:
    """Mean confidence, accuracy and number of images in each bin of confidence that is not empty."""
    _check(probabilities, labels)
    confidence = probabilities.max(1)
    table = pd.DataFrame({"confidence": confidence, "accuracy": probabilities.argmax(1) == labels})
    grouped = table.groupby(_bins(confidence, bins))
    return grouped.mean().assign(images=grouped.size()).reset_index(drop=True)


def _check(probabilities: np.ndarray, labels: np.ndarray) -> None:
    if len(labels) == 0 or len(labels) != len(probabilities):
        raise ValueError(f"{len(probabilities)} rows of probabilities for {len(labels)} labels")
    if labels.min() < 0 or labels.max() >= probabilities.shape[1]:
        raise ValueError(f"labels must be in 0..{probabilities.shape[1] - 1}")


def _rank(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How many classes rank before the label; among equally likely ones, the lower index ranks first."""
    of_label = probabilities[np.arange(len(labels)), labels][:, None]
    before = np.arange(probabilities.shape[1]) < labels[:, None]
    return ((probabilities > of_label) | ((probabilities == of_label) & before)).sum(1)


def _bins(confidence: np.ndarray, bins: int = BINS) -> np.ndarray:
    """The bin of each confidence: bin i holds (i / bins, (i + 1) / bins]."""
    return np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)


def _mean(numerators: np.ndarray, denominators: np.ndarray, where: np.ndarray) -> np.ndarray:
    ratios = np.divide(numerators, denominators, out=np.zeros_like(denominators, dtype=float), where=where)
    return ratios.sum(1) / where.sum(1)
