"""Pairs of pictures that are one photograph, or photographs of one scene.

Neighbours among the embeddings are proposed, and their pixels decide (`pets.audit.alignment`).
"""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd

from pets.audit.alignment import Alignment, Keypoints, align
from pets.audit.kinds import DUPLICATE, SCENE
from pets.core.progress import progress_bar

NEAREST = 3  # neighbours of each picture that are proposed
# Correlation from which two pictures are one photograph. On the Pets all planted crops, mirror
# images, rescaled, recompressed, framed and grey copies had at least 0.93, and two photographs at most 0.79.
COPY = 0.82
# And what is called one scene: a series, most often of one animal or litter.
SCENE_LEAST, SCENE_MATCHES = 0.4, 10


def proposed(cosines: np.ndarray, others: np.ndarray, most: int) -> np.ndarray:
    """The most similar pairs, int64 [pairs, 2] rows, the smaller first: of each row its ``NEAREST``.

    ``cosines`` and ``others`` [n, neighbours] as `pets.audit.neighbours.nearest` gives them; at most ``most``
    pairs, the most similar first.
    """
    cosines, others = cosines[:, :NEAREST], others[:, :NEAREST]
    pairs = np.stack([np.repeat(np.arange(len(others)), others.shape[1]), others.ravel()], axis=1)
    found = pairs[:, 1] >= 0
    pairs, first = np.unique(np.sort(pairs[found], axis=1), axis=0, return_index=True)
    if len(pairs) > most:
        print(f"the {most:,} most similar of {len(pairs):,} pairs are compared (audit.pairs in params.yaml)")
    return pairs[np.argsort(-cosines.ravel()[found][first], kind="stable")[:most]]


def confirmed(pairs: np.ndarray, keypoints: dict[int, Keypoints]) -> pd.DataFrame:
    """The pairs that are copies or scenes: one, other (rows), kind, score, detail; the surest first.

    The kind is "duplicate" or "same scene", the score the correlation of details or shades (see `Alignment`).
    """

    def compare(pair: np.ndarray) -> Alignment:
        one, other = (keypoints[int(row)] for row in pair)
        return align(one, other, COPY)

    rows = []
    workers = max(2, os.cpu_count() or 1)
    with ThreadPoolExecutor(workers) as pool, progress_bar(len(pairs), "duplicates", "pairs") as bar:
        for (one, other), found in zip(pairs, pool.map(compare, pairs), strict=True):
            bar.update()
            if found.correlation >= COPY:
                rows.append((one, other, DUPLICATE, found.correlation, _detail(found)))
            elif found.correlation >= SCENE_LEAST and found.matches >= SCENE_MATCHES:
                rows.append((one, other, SCENE, found.correlation, _detail(found)))
    table = pd.DataFrame(rows, columns=["one", "other", "kind", "score", "detail"])
    return table.sort_values(["score", "one", "other"], ascending=[False, True, True], ignore_index=True)


def _detail(found: Alignment) -> str:
    """``mirrored, one shows 72% of the other``."""
    words = ["mirrored"] if found.mirrored else []
    area = min(found.area, 1 / found.area)
    if area < 0.97:
        words.append(f"one shows {area:.0%} of the other")
    return ", ".join(words)


def with_the_same_bytes(sha256: pd.Series, pairs: pd.DataFrame) -> pd.DataFrame:
    """The pairs of rows with one checksum, each with the next of them, and the other ``pairs``."""
    checksums = sha256.to_numpy()
    rows = pd.Series(range(len(checksums)))
    after = rows.groupby(checksums).shift(-1).dropna().astype(int)
    same = pd.DataFrame({"one": after.index, "other": after, "kind": DUPLICATE, "score": 1.0, "detail": ""})
    others = pairs[checksums[pairs["one"].astype(int)] != checksums[pairs["other"].astype(int)]]
    return pd.concat([same, others], ignore_index=True) if len(same) else pairs


def groups(rows: int, pairs: np.ndarray) -> np.ndarray:
    """A number for each row [n], equal for rows that pairs [pairs, 2] connect."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    linked = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(rows, rows))
    return connected_components(linked, directed=False)[1].astype(np.int64)
