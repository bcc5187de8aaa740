"""The nearest rows of many vectors, approximately, beside all products; how many are found."""

import numpy as np

from bench.table import row, seconds
from pets.audit import neighbours

ROWS, DIMENSIONS, NEAREST = 200_000, 256, 3
SAMPLE = 500  # rows whose neighbours among all are computed exactly


def main(rows: int = ROWS) -> None:
    """Print the time of all rows against that of all products, the latter extrapolated from a sample."""
    vectors = synthetic(rows)
    found: list[np.ndarray] = []
    took = seconds(lambda: found.append(neighbours.nearest(vectors, NEAREST)[1]))
    sample = np.random.default_rng(1).choice(rows, SAMPLE, replace=False)
    exact: list[np.ndarray] = []
    of_sample = seconds(lambda: exact.append(nearest_of(vectors, sample)))
    row(f"neighbours of {rows:,} vectors of {DIMENSIONS}", took, of_sample * rows / SAMPLE)
    hits = [len({*a} & {*b}) for a, b in zip(found[0][sample].tolist(), exact[0].tolist(), strict=True)]
    print(f"recall: {np.sum(hits) / (SAMPLE * NEAREST):.3f} of the {NEAREST} nearest, "
          f"{np.mean(found[0][sample, 0] == exact[0][:, 0]):.3f} of the nearest")  # fmt: skip


def synthetic(rows: int) -> np.ndarray:
    """Vectors of length one around a thousand centres, as those of pictures of classes lie."""
    generator = np.random.default_rng(0)
    centres = generator.standard_normal((1000, DIMENSIONS), dtype=np.float32)
    vectors = generator.standard_normal((rows, DIMENSIONS), dtype=np.float32)
    vectors += centres[generator.integers(0, 1000, rows)]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def nearest_of(vectors: np.ndarray, sample: np.ndarray) -> np.ndarray:
    products = vectors[sample] @ vectors.T
    products[np.arange(len(sample)), sample] = -1
    nearest = np.argpartition(-products, NEAREST, axis=1)[:, :NEAREST]
    order = np.argsort(-np.take_along_axis(products, nearest, axis=1), axis=1)
    return np.take_along_axis(nearest, order, axis=1)


if __name__ == "__main__":
    main()
