"""Training pictures, decoded and resized once, and the random crops of each step."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from pets.core.files import atomic
from pets.core.progress import progress_bar
from pets.images.batches import batches
from pets.images.preprocessing import Preprocessing

BATCH = 32  # pictures decoded at a time
LARGER = 8, 7  # a picture's side to the crop's, as in the training of most of these networks: 256 to 224


@dataclass(frozen=True)
class Labelled:
    """Picture ``files``, their sha256 (``checksums``) and ``labels`` int64 [n] in 0..classes-1."""

    files: list[Path]
    checksums: list[str]
    labels: torch.Tensor


def stored(preprocessing: Preprocessing, augment: bool) -> Preprocessing:
    """How pictures are kept: as the network takes them or, to be cropped at random, a seventh larger."""
    if not augment:
        return preprocessing
    side = -(-preprocessing.crop * LARGER[0] // LARGER[1])
    return replace(preprocessing, resize=side, crop=side)


def decode_once(pictures: Labelled, preprocessing: Preprocessing, file: Path, what: str) -> np.ndarray:
    """The pictures, uint8 [n, side, side, 3], mapped into memory from a file; used again if it is there."""
    if not file.exists():
        side, count = preprocessing.crop, len(pictures.files)
        with atomic(file) as temporary, progress_bar(count, f"decode {what}") as progress:
            header = {"descr": "|u1", "fortran_order": False, "shape": (count, side, side, 3)}
            with temporary.open("wb") as kept:  # through a memory map, a full disk would kill the process
                np.lib.format.write_array_header_1_0(kept, header)
                for (images,) in batches(pictures.files, preprocessing, 1, BATCH, pictures.checksums):
                    kept.write(images.permute(0, 2, 3, 1).contiguous().numpy().tobytes())
                    progress.update(len(images))
    return np.load(file, mmap_mode="c", allow_pickle=False)


def crops(pictures: np.ndarray, rows: np.ndarray, crop: int, generator: np.random.Generator) -> torch.Tensor:
    """These pictures, uint8 [n, 3, crop, crop], cropped and mirrored at random where they are larger."""
    room = pictures.shape[1] - crop
    if room == 0:
        images = pictures[rows]
    else:
        places = generator.integers(0, room + 1, (len(rows), 2))
        mirrored = generator.integers(0, 2, len(rows), dtype=bool)
        images = np.empty((len(rows), crop, crop, 3), np.uint8)
        for number, (row, (top, left), mirror) in enumerate(zip(rows, places, mirrored, strict=True)):
            image = pictures[row, top : top + crop, left : left + crop]
            images[number] = image[:, ::-1] if mirror else image
    return torch.from_numpy(images).permute(0, 3, 1, 2)
