"""Embeddings on disk: one row an image, read back as one memory-mapped matrix with its index.

A folder holds ``vectors.npy`` [images, dimensions], ``index.parquet`` (image_id and sha256 of the image's
bytes, in the rows' order) and ``card.json``, which says what made them. A vector is known by the sum of its
image's bytes and by the recipe (weights, preprocessing, precision ...): with the same recipe, only images
whose bytes are new are computed, and the rest are copied.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stages.errors import UserError
from stages.files import read_json, whole, write_json


@dataclass(frozen=True)
class Store:
    """``vectors``: memory-mapped [images, dimensions]; ``index``: image_id and sha256, row by row."""

    vectors: np.ndarray
    index: pd.DataFrame
    card: dict[str, Any]

    def of(self, image_ids: Iterable[str]) -> np.ndarray:
        """These images' vectors, float32 [n, dimensions], in their order; KeyError if one is unknown."""
        rows = pd.Index(self.index["image_id"]).get_indexer(list(image_ids))
        if (rows < 0).any():
            raise KeyError(f"{int((rows < 0).sum())} images have no embedding")
        return np.asarray(self.vectors[rows], dtype=np.float32)


def read(folder: Path) -> Store:
    """Open a store without reading its vectors."""
    vectors = np.load(folder / "vectors.npy", mmap_mode="r", allow_pickle=False)
    return Store(vectors, pd.read_parquet(folder / "index.parquet"), read_json(folder / "card.json"))


def update(
    folder: Path,
    images: pd.DataFrame,
    card: dict[str, Any],
    device: str,
    dtype: str,
    compute: Callable[[pd.DataFrame], Iterator[np.ndarray]],
) -> int:
    """Make the store hold exactly ``images`` (columns image_id and sha256), and compute what it lacks.

    ``card`` is the recipe: a store made by another one is made anew. ``compute`` gets the rows that are
    missing, each sha256 once, and yields their vectors [m, dimensions] batch by batch. ``device`` goes into
    the card's list of devices, which is not part of the recipe. Returns how many images were computed.
    """
    known = _known(folder, card)
    rows = pd.Series(dtype=int)
    if known is not None:
        sums = known.index["sha256"].drop_duplicates()
        rows = pd.Series(sums.index, index=sums.to_numpy())
    missing = images[~images["sha256"].isin(rows.index)].drop_duplicates("sha256")
    devices = known.card["devices"] if known is not None else []
    if len(missing):
        devices = sorted({*devices, device})
    with whole(folder) as temporary:
        temporary.mkdir()
        vectors = np.lib.format.open_memmap(
            temporary / "vectors.npy", "w+", dtype=dtype, shape=(len(images), card["dimensions"])
        )
        if known is not None:
            old = images["sha256"].isin(rows.index).to_numpy()
            vectors[old] = known.vectors[rows[images["sha256"][old]].to_numpy()]
        _fill(vectors, images, missing, compute(missing))
        vectors.flush()
        images[["image_id", "sha256"]].to_parquet(temporary / "index.parquet", index=False)
        write_json(temporary / "card.json", {**card, "images": len(images), "devices": devices})
    return len(missing)


def _known(folder: Path, card: dict[str, Any]) -> Store | None:
    """The store that stands there, if the same recipe made it."""
    if not (folder / "card.json").exists():
        return None
    store = read(folder)
    return store if {key: store.card.get(key) for key in card} == card else None


def _fill(
    vectors: np.ndarray, images: pd.DataFrame, missing: pd.DataFrame, batches: Iterator[np.ndarray]
) -> None:
    positions = images.reset_index(drop=True).groupby("sha256").indices  # the same bytes may stand twice
    sums = iter(missing["sha256"])
    for batch in batches:
        stored = batch.astype(vectors.dtype)
        if not np.isfinite(stored).all():
            raise UserError(f"features overflow {vectors.dtype}; set embed.dtype: float32 in params.yaml.")
        for vector, sha256 in zip(stored, sums, strict=False):
            vectors[positions[sha256]] = vector
    if next(sums, None) is not None:
        raise RuntimeError("fewer vectors than images")
