"""Embeddings on disk: one row an image, read back as one memory-mapped matrix with its index.

A folder holds ``vectors.npy`` [images, dimensions], ``index.parquet`` (image_id and the sha256 of the image's
bytes, row by row), ``metadata.json``, which says what made them, and ``reference.npy`` [devices, pictures,
dimensions], the features of fixed pictures (`pets.embeddings.reference`) on each of the metadata's devices.

A vector is computed once for each image's bytes, as long as the recipe (weights, preprocessing, precision
...) is the same and the present code gives the fixed pictures the features that are stored. Otherwise every
vector is computed again.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pets.core.errors import UserError
from pets.core.files import atomic, read_json, write_json
from pets.embeddings.reference import OTHER_DEVICE, SAME_DEVICE, change


@dataclass(frozen=True)
class Store:
    """``vectors``: memory-mapped [images, dimensions]; ``index``: image_id and sha256, row by row."""

    vectors: np.ndarray
    index: pd.DataFrame
    metadata: dict[str, Any]
    reference: np.ndarray

    def vectors_of(self, image_ids: Iterable[str]) -> np.ndarray:
        """These images' vectors, float32 [n, dimensions], in their order; KeyError if one is unknown."""
        rows = pd.Index(self.index["image_id"]).get_indexer(list(image_ids))
        if (rows < 0).any():
            raise KeyError(f"{int((rows < 0).sum())} images have no embedding")
        return np.asarray(self.vectors[rows], dtype=np.float32)


def read(folder: Path) -> Store:
    """Open a store without reading its vectors."""
    return Store(
        np.load(folder / "vectors.npy", mmap_mode="r", allow_pickle=False),
        pd.read_parquet(folder / "index.parquet"),
        read_json(folder / "metadata.json"),
        np.load(folder / "reference.npy", allow_pickle=False),
    )


def update(
    folder: Path,
    images: pd.DataFrame,
    recipe: dict[str, Any],
    device: str,
    reference: np.ndarray,
    compute: Callable[[pd.DataFrame], Iterator[np.ndarray]],
) -> tuple[int, str]:
    """Make the store hold exactly ``images`` (columns image_id and sha256), and compute the vectors it lacks.

    ``recipe`` is everything besides the image that determines a vector; its "dimensions" and "dtype" are
    those of the matrix. ``reference`` [pictures, dimensions]: the features of the fixed pictures, computed
    now on ``device``. ``compute`` gets the rows that are missing, each sha256 once, and yields their vectors
    [m, dimensions] batch by batch.

    Returns how many images were computed, and why those stored before were not used; empty if they were.
    """
    known = read(folder) if (folder / "metadata.json").exists() else None
    stale = _stale(known, recipe, device, reference) if known else ""
    rows, references = pd.Series(dtype=int), {}
    if known and not stale:
        checksums = known.index["sha256"].drop_duplicates()
        rows = pd.Series(checksums.index, index=checksums.to_numpy())
        references = dict(zip(known.metadata["devices"], known.reference, strict=True))
    missing = images[~images["sha256"].isin(rows.index)].drop_duplicates("sha256")
    if len(missing) or not references:
        references.setdefault(device, reference)
    with atomic(folder) as temporary:
        temporary.mkdir()
        vectors = np.lib.format.open_memmap(
            temporary / "vectors.npy", "w+", dtype=recipe["dtype"], shape=(len(images), recipe["dimensions"])
        )
        if known and len(rows):
            old = images["sha256"].isin(rows.index).to_numpy()
            vectors[old] = known.vectors[rows[images["sha256"][old]].to_numpy()]
        _fill(vectors, images, missing, compute(missing))
        vectors.flush()
        images[["image_id", "sha256"]].to_parquet(temporary / "index.parquet", index=False)
        np.save(temporary / "reference.npy", np.stack([references[name] for name in sorted(references)]))
        metadata = {**recipe, "images": len(images), "devices": sorted(references)}
        write_json(temporary / "metadata.json", metadata)
    return len(missing), stale


def _stale(known: Store, recipe: dict[str, Any], device: str, reference: np.ndarray) -> str:
    """Why the stored vectors can't be used any more; empty where they can."""
    changed = [key for key in recipe if known.metadata.get(key) != recipe[key]]
    if changed:
        return f"{', '.join(changed)} changed"
    devices = known.metadata["devices"]
    same = device in devices
    difference = change(known.reference[devices.index(device) if same else 0], reference)
    if difference > (SAME_DEVICE if same else OTHER_DEVICE):
        made_by = "the code that made them" if same else f"{devices[0]}, which made them,"
        return f"the features of fixed pictures differ by {difference:.1%} from those by {made_by}"
    return ""


def _fill(
    vectors: np.ndarray, images: pd.DataFrame, missing: pd.DataFrame, batches: Iterator[np.ndarray]
) -> None:
    positions = images.reset_index(drop=True).groupby("sha256").indices  # the same bytes may stand twice
    checksums = iter(missing["sha256"])
    for batch in batches:
        stored = batch.astype(vectors.dtype)
        if not np.isfinite(stored).all():
            raise UserError(f"features overflow {vectors.dtype}; set embed.dtype: float32 in params.yaml.")
        for vector, sha256 in zip(stored, checksums, strict=False):
            vectors[positions[sha256]] = vector
    if next(checksums, None) is not None:
        raise RuntimeError("fewer vectors than images")
