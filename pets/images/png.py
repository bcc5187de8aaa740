"""Pictures saved without loss, except for the rounding to 8 bits."""

from pathlib import Path

import torch
from PIL import Image


def save_png(picture: torch.Tensor, file: Path) -> None:
    """Save a float picture [3, height, width] in [0, 1] as an 8-bit PNG, each value rounded to a level."""
    levels = (255 * picture.detach().cpu()).round().clamp(0, 255).to(torch.uint8)
    Image.fromarray(levels.permute(1, 2, 0).numpy()).save(file, compress_level=1)
