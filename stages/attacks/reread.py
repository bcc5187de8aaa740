"""The honest end of every attack: the picture is saved with 8 bits and read again as embed reads it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from stages.engines.eager import Engine
from stages.images.batches import batches


def save(picture: torch.Tensor, file: Path) -> None:
    """Save a float picture [3, height, width] in [0, 1] as an 8-bit PNG, each value to its nearest level."""
    levels = (255 * picture.detach().cpu()).round().clamp(0, 255).to(torch.uint8)
    Image.fromarray(levels.permute(1, 2, 0).numpy()).save(file, compress_level=1)


def reread(files: Sequence[Path], engine: Engine, views: int, dtype: str) -> torch.Tensor:
    """Features [n, dimensions], float32, of saved pictures: embed's decoding, engine and stored precision."""
    vectors = list(engine.run(batches(files, engine.preprocessing, views, engine.batch_size)))
    return torch.from_numpy(np.concatenate(vectors).astype(dtype).astype(np.float32))
