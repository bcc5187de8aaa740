"""One pass over the pictures: what their pixels measure, and keypoints of those to be compared."""

import os
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import pandas as pd

from pets.audit.alignment import SIDE, Keypoints, keypoints
from pets.audit.quality import measured
from pets.core.progress import progress_bar
from pets.images.batches import read
from pets.images.decoding import decode


def look_at(
    images: pd.DataFrame, raw: Path, compared: Collection[int]
) -> tuple[pd.DataFrame, dict[int, Keypoints]]:
    """The measures of all ``images`` (image_id, path, sha256), a row each, and keypoints by row number.

    Only the rows ``compared`` have keypoints: 60 kB each. Raises UserError where a file has changed.
    """

    def look(row: int, path: str, sha256: str) -> tuple[dict[str, float], Keypoints | None]:
        decoded = decode(read(raw / path, sha256), SIDE)
        height, width = decoded.pixels.shape[:2]
        scale = min(1, SIDE / max(height, width))
        size = max(1, round(width * scale)), max(1, round(height * scale))
        small = cv2.resize(decoded.pixels, size, interpolation=cv2.INTER_AREA)
        return measured(small, decoded.size), keypoints(small) if row in compared else None

    rows = range(len(images)), images["path"], images["sha256"]
    measures: list[dict[str, float]] = []
    kept: dict[int, Keypoints] = {}
    workers = max(2, os.cpu_count() or 1)
    with ThreadPoolExecutor(workers) as pool, progress_bar(len(images), "audit") as bar:
        for row, (values, points) in enumerate(pool.map(look, *rows)):
            measures.append(values)
            if points is not None:
                kept[row] = points
            bar.update()
    return pd.DataFrame(measures), kept
