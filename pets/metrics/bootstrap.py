"""How much a metric, or a difference of two, would vary with other test images."""

import numpy as np

from pets.metrics.metrics import weighted

CHUNK = 100  # samples at a time, so that counts take a few MB


def bootstrap_intervals(
    probabilities: np.ndarray, labels: np.ndarray, samples: int, seed: int, baseline: np.ndarray | None = None
) -> dict[str, tuple[float, float]]:
    """95% percentile intervals (Efron: Bootstrap methods, 1979) of every metric, in the metrics' order.

    With ``baseline``, the probabilities [n, k] of another classifier on the same images, they are intervals
    of the difference from it: both are scored on the same samples.

    Images are sampled with replacement from all test images, not class by class, so that the intervals
    include the variation of how many images of each class there are. The classifiers stay as they are: the
    variation from other training sets is not included.
    """
    generator = np.random.default_rng(seed)
    images = len(labels)
    sampled: dict[str, list[np.ndarray]] = {}
    for start in range(0, samples, CHUNK):
        size = min(CHUNK, samples - start)
        counts = generator.multinomial(images, np.full(images, 1 / images), size=size).astype(float)
        before = {} if baseline is None else weighted(baseline, labels, counts)
        for name, values in weighted(probabilities, labels, counts).items():
            sampled.setdefault(name, []).append(values - before[name] if before else values)
    bounds = {name: np.percentile(np.concatenate(values), (2.5, 97.5)) for name, values in sampled.items()}
    return {name: (float(low), float(high)) for name, (low, high) in bounds.items()}
