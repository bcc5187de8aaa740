"""The most similar vectors of each vector, by faiss."""

import faiss
import numpy as np

EXACT = 50_000  # rows up to which every pair is compared; beyond, those of the nearest cells
PROBES = 8  # cells that are searched for each vector
BLOCK = 8192  # rows at a time: what is in memory beside the vectors and the index
TRAINING = 64  # rows for each cell's k-means


def nearest(vectors: np.ndarray, neighbours: int) -> tuple[np.ndarray, np.ndarray]:
    """Each row's most similar other rows: cosines float32 [n, k] and rows int64 [n, k], the nearest first.

    ``vectors`` float32 [n, dimensions] of length one; k is ``neighbours``, or n - 1 where there are fewer.
    Over ``EXACT`` rows the search is approximate, in an inverted file (Jégou, Douze, Schmid: Product
    quantization for nearest neighbor search, 2011) of half-precision vectors: see bench/neighbours.py for
    its recall. Where the index finds fewer, the row is -1 and the cosine missing.
    """
    rows = len(vectors)
    wanted = min(neighbours, rows - 1)
    index = _index(vectors)
    cosines = np.empty((rows, wanted), np.float32)
    found = np.empty((rows, wanted), np.int64)
    for start in range(0, rows, BLOCK):
        block = slice(start, min(start + BLOCK, rows))
        near, which = index.search(vectors[block], wanted + 1)
        itself = which == np.arange(block.start, block.stop)[:, None]
        itself[~itself.any(1), -1] = True  # of many equal vectors, others may fill a row's places
        cosines[block] = near[~itself].reshape(-1, wanted)
        found[block] = which[~itself].reshape(-1, wanted)
    cosines[found < 0] = np.nan
    return cosines, found


def _index(vectors: np.ndarray) -> "faiss.Index":
    rows, dimensions = vectors.shape
    if rows <= EXACT:
        exact = faiss.IndexFlatIP(dimensions)
        exact.add(vectors)
        return exact
    cells = int(4 * rows**0.5)
    index = faiss.index_factory(dimensions, f"IVF{cells},SQfp16", faiss.METRIC_INNER_PRODUCT)
    faiss.ParameterSpace().set_index_parameter(index, "nprobe", PROBES)
    sample = np.random.default_rng(0).choice(rows, min(rows, TRAINING * cells), replace=False)
    index.train(vectors[np.sort(sample)])
    for start in range(0, rows, BLOCK):
        index.add(vectors[start : start + BLOCK])
    return index
