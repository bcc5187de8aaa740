"""Embeddings on disk, in shards: a row an image, read back as one matrix.

A folder holds, for each shard, ``<shard>.npy`` [images, dimensions] and ``<shard>.parquet`` (image_id and
the sha256 of the image's bytes, row by row); ``shards.json``, the shards' checksums; ``metadata.json``, which
says what made the vectors; and ``reference.npy`` [devices, pictures, dimensions], the features of fixed
pictures (`pets.embeddings.reference`) on each of the metadata's devices.

A joined backbone's folder holds such a folder for each of its parts (`pets.embeddings.features`).

A vector is computed once for each image's bytes, as long as the recipe (weights, preprocessing, precision
...) is the same and the present code gives the fixed pictures the features that are stored. Otherwise every
vector is computed again.

The shard of an image is given by its checksum, and the number of shards by that of the images. So the same
images make the same files whatever was stored before, one more image changes one shard, and every finished
shard is kept where a run is killed: beside the folder, in ``.<name>.partial``, for the next run.
"""

import io
import os
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pets.core.errors import UserError
from pets.core.files import atomic, checksum, read_json, remove, replace, write_json
from pets.dataset import Dataset
from pets.embeddings.reference import OTHER_DEVICE, SAME_DEVICE, change

KINDS = ("npy", "parquet")  # a shard is complete once it has its index, which is written last
OF_IMAGES = ("images", "devices")  # what metadata.json says besides the recipe
COLUMNS = ["image_id", "sha256", "folder", "shard", "row"]
ROWS = 512  # a shard's images, at most in the mean: this much is computed again after a kill


@dataclass(frozen=True)
class Store:
    """``index``: image_id, sha256, and where the vector lies: folder, shard and row."""

    index: pd.DataFrame
    metadata: dict[str, Any]
    reference: np.ndarray

    def vectors_of(self, image_ids: Iterable[str]) -> np.ndarray:
        """These images' vectors, float32 [n, dimensions], in their order; KeyError if one is unknown."""
        rows = pd.Index(self.index["image_id"]).get_indexer(list(image_ids))
        if (rows < 0).any():
            raise KeyError(f"{int((rows < 0).sum())} images have no embedding")
        vectors = np.empty((len(rows), self.metadata["dimensions"]), dtype=np.float32)
        _gather(self.index.iloc[rows], vectors)
        return vectors


def read(folder: Path, leave_out: Collection[str] = ()) -> Store:
    """Open a store without reading its vectors, and without some of its shards."""
    parts = []
    for file in sorted(folder.glob("*-of-*.parquet")):
        if file.stem not in leave_out:
            rows = pd.read_parquet(file)
            parts.append(rows.assign(folder=str(folder), shard=file.stem, row=np.arange(len(rows))))
    index = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=COLUMNS)
    metadata = read_json(folder / "metadata.json")
    return Store(index, metadata, np.load(folder / "reference.npy", allow_pickle=False))


def elsewhere(data: Dataset, backbone: str) -> list[Path]:
    """The data set's stores of a backbone: its own, and those as a part of joined ones."""
    found = sorted((data.folder / "embeddings").rglob(f"{backbone}/metadata.json"))
    return [each.parent for each in found]


def recipes(data: Dataset, backbone: str) -> dict[str, dict[str, Any]]:
    """The recipe of each part's vectors, by the part's name; see `update`."""
    found = {}
    for part, folder in data.stores(backbone).items():
        metadata = read_json(folder / "metadata.json")
        found[part] = {key: value for key, value in metadata.items() if key not in OF_IMAGES}
    return found


def describe(data: Dataset, backbone: str) -> None:
    """Write a joined backbone's metadata.json, with that of each part; any other has its own already."""
    each = {part: read_json(folder / "metadata.json") for part, folder in data.stores(backbone).items()}
    if len(each) > 1:
        content = {
            "backbone": backbone,
            "layer": "each part's features, scaled to length one, side by side",
            "dimensions": sum(part["dimensions"] for part in each.values()),
            "parts": each,
        }
        write_json(data.embeddings(backbone) / "metadata.json", content)


def update(
    folder: Path,
    images: pd.DataFrame,
    recipe: dict[str, Any],
    device: str,
    reference: np.ndarray,
    compute: Callable[[pd.DataFrame], Iterator[np.ndarray]],
    others: Iterable[Path] = (),
) -> tuple[int, str]:
    """Make the store hold exactly ``images`` (columns image_id and sha256), and compute the vectors it lacks.

    ``recipe`` is everything besides the image that determines a vector; its "dimensions" and "dtype" are
    those of the matrix. ``reference`` [pictures, dimensions]: the features of the fixed pictures, computed
    now on ``device``. ``compute`` gets the rows that are missing, each sha256 once, and yields their vectors
    [m, dimensions] batch by batch. What ``others``, stores of the same backbone, have is not missing.

    Returns how many images were computed, and why those stored before were not used; empty if they were.
    """
    partial = folder.with_name(f".{folder.name}.partial")
    stored, stale = [pd.DataFrame(columns=COLUMNS)], ""
    references: dict[str, np.ndarray] = {}
    for place in (partial, *(each for each in others if each != folder), folder):
        known = read(place, _damaged(place)) if (place / "metadata.json").exists() else None
        reason = _stale(known, recipe, device, reference) if known else ""
        if known and not reason:
            stored.append(known.index)
            references |= dict(zip(known.metadata["devices"], known.reference, strict=True))
        elif place == partial:
            remove(partial)
        elif place == folder:
            stale = reason
    known_rows = pd.concat(stored)
    places = known_rows.drop_duplicates("sha256").set_index("sha256")[["folder", "shard", "row"]]
    stored_at = places.index.get_indexer(pd.Index(images["sha256"]))
    wanted = images.assign(shard=_shards(images["sha256"]), place=stored_at)
    wanted = wanted.sort_values(["shard", "sha256", "image_id"])
    missing = wanted[wanted["place"] < 0].drop_duplicates("sha256")
    if len(missing) or not references:
        references.setdefault(device, reference)

    partial.mkdir(parents=True, exist_ok=True)
    _write(partial / "reference.npy", _npy(np.stack([references[name] for name in sorted(references)])))
    write_json(partial / "metadata.json", {**recipe, "images": len(images), "devices": sorted(references)})
    vectors = _rows(compute(missing), recipe["dtype"])
    complete = {(shard, _content(rows)): at for (at, shard), rows in known_rows.groupby(["folder", "shard"])}
    checksums = {}
    for shard, rows in wanted.groupby("shard"):
        at = complete.get((shard, _content(rows)))
        if at is None:
            _write_shard(partial / str(shard), rows, places, vectors, recipe)
        elif at != str(partial):
            for kind in KINDS:
                _link(Path(str(at), f"{shard}.{kind}"), partial / f"{shard}.{kind}")
        checksums[shard] = [checksum(partial / f"{shard}.{kind}") for kind in KINDS]
    if next(vectors, None) is not None:
        raise RuntimeError("more vectors than images")
    files = {f"{shard}.{kind}" for shard in checksums for kind in KINDS} | {"reference.npy", "metadata.json"}
    for file in partial.iterdir():
        if file.name not in files:
            file.unlink()
    write_json(partial / "shards.json", checksums)
    replace(partial, folder)
    return len(missing), stale


def _shards(checksums: pd.Series) -> list[str]:
    """Each image's shard, ``00003-of-00008``: the first bits of its checksum say which.

    The number of shards is the power of two that keeps them to ``ROWS`` in the mean.
    """
    bits = 0
    while len(checksums) > ROWS << bits:
        bits += 1
    return [f"{int(each[:8], 16) >> 32 - bits:05}-of-{1 << bits:05}" for each in checksums]


def _content(rows: pd.DataFrame) -> str:
    return "\n".join(rows["image_id"] + " " + rows["sha256"])


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


def _damaged(folder: Path) -> list[str]:
    """The shards whose files are not what they were when they were written; said in a printed line."""
    if not (folder / "shards.json").exists():
        return []  # a run that was killed: every file is complete
    found = []
    for shard, checksums in read_json(folder / "shards.json").items():
        files = [folder / f"{shard}.{kind}" for kind in KINDS]
        if not all(map(Path.exists, files)) or [checksum(file) for file in files] != checksums:
            found.append(shard)
            print(f"{folder}: shard {shard} is damaged; its images are embedded again")
    return found


def _rows(batches: Iterable[np.ndarray], dtype: str) -> Iterator[np.ndarray]:
    """The vectors of all batches, one by one, as they are stored. UserError where one overflows."""
    for batch in batches:
        stored = batch.astype(dtype)
        if not np.isfinite(stored).all():
            raise UserError(f"features overflow {dtype}; set embed.dtype: float32 in params.yaml.")
        yield from stored


def _gather(places: pd.DataFrame, into: np.ndarray) -> None:
    """Read the vectors at ``places`` (folder, shard, row) into the rows of a matrix."""
    for (at, shard), rows in places.reset_index(drop=True).groupby(["folder", "shard"]):
        vectors = np.load(Path(str(at), f"{shard}.npy"), mmap_mode="r", allow_pickle=False)
        into[rows.index] = vectors[rows["row"].to_numpy(int)]


def _write_shard(
    path: Path,
    rows: pd.DataFrame,
    places: pd.DataFrame,
    computed: Iterator[np.ndarray],
    recipe: dict[str, Any],
) -> None:
    """Write a shard's vectors, those at ``places`` and the next of the ``computed`` ones, then its index.

    ``rows`` say by ``place`` which of the places, or -1 for a computed one.
    """
    rows = rows.reset_index(drop=True)
    vectors = np.empty((len(rows), recipe["dimensions"]), dtype=recipe["dtype"])
    known = rows["place"].to_numpy() >= 0
    old = np.empty((known.sum(), recipe["dimensions"]), dtype=recipe["dtype"])
    _gather(places.iloc[rows["place"][known]], old)
    vectors[known] = old
    numbers, new = rows["sha256"][~known].factorize()  # the same bytes may stand twice
    if len(new):
        fresh = list(islice(computed, len(new)))
        if len(fresh) < len(new):
            raise RuntimeError("fewer vectors than images")
        vectors[~known] = np.stack(fresh)[numbers]
    index = io.BytesIO()
    rows[["image_id", "sha256"]].to_parquet(index, index=False)
    _write(path.with_suffix(".npy"), _npy(vectors))
    _write(path.with_suffix(".parquet"), index.getvalue())


def _npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def _write(path: Path, content: bytes) -> None:
    with atomic(path) as temporary:
        temporary.write_bytes(content)


def _link(source: Path, target: Path) -> None:
    """The same file under another name; a copy where the file system has no hard links."""
    remove(target)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
