"""How far a metric could lie from its value by the luck of which images are in the test set."""

import numpy as np

from stages.scores.metrics import weighted

CHUNK = 100  # samples at a time, so that counts take a few MB


def bootstrap_intervals(
    probabilities: np.ndarray, labels: np.ndarray, samples: int, seed: int
) -> dict[str, tuple[float, float]]:
    """95% percentile intervals (Efron: Bootstrap methods, 1979) of the headline metrics, in their order.

    Images are drawn with replacement from all test images, not class by class, so that the intervals also
    hold the luck of how many of each class there are. The head stays as it is: what another training set
    would have given is not in them.
    """
    generator = np.random.default_rng(seed)
    images = len(labels)
    drawn: dict[str, list[np.ndarray]] = {}
    for start in range(0, samples, CHUNK):
        size = min(CHUNK, samples - start)
        counts = generator.multinomial(images, np.full(images, 1 / images), size=size).astype(float)
        for name, values in weighted(probabilities, labels, counts).items():
            drawn.setdefault(name, []).append(values)
    bounds = {name: np.percentile(np.concatenate(values), (2.5, 97.5)) for name, values in drawn.items()}
    return {name: (float(low), float(high)) for name, (low, high) in bounds.items()}
