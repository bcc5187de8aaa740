"""Fixed pictures whose features tell whether the code still makes the same features.

They are made in memory and exercise every part of the path from bytes to a network's input: sizes that are
scaled up and down, both orientations, EXIF rotation, and every mode that `pets.images.decoding` converts.
"""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

# Relative change of a picture's feature vector (L2). On one device the same code gives the same bits
# (measured with one and two threads); changing the mean by a tenth of a level changes EfficientNet-Lite0's
# features by 1e-3 in float32 and by 1e-2 in bfloat16. Another device of the same precision rounds
# differently.
SAME_DEVICE, OTHER_DEVICE = 1e-3, 5e-2
ORIENTATION, ROTATED = 0x0112, 6  # EXIF: to be seen rotated by 90 degrees


def write_pictures(folder: Path) -> list[Path]:
    """Write the pictures into an existing folder; returns their files in order."""
    exif = Image.Exif()
    exif[ORIENTATION] = ROTATED
    transparent = _picture(256, 257).convert("RGBA")
    transparent.putalpha(_picture(257, 256).convert("L").resize((256, 257)))
    pictures: list[tuple[Image.Image, str, dict[str, Any]]] = [
        (_picture(500, 375), "JPEG", {"quality": 90}),
        (_picture(333, 500), "JPEG", {"quality": 75}),
        (_picture(1200, 900), "JPEG", {"quality": 85, "exif": exif}),
        (_picture(90, 64).convert("L"), "PNG", {}),
        (transparent, "PNG", {}),
        (_picture(300, 200).convert("P"), "GIF", {}),
        (Image.fromarray(np.asarray(_picture(224, 300).convert("L")).astype(np.uint16) * 257), "PNG", {}),
        (_picture(280, 280).convert("CMYK"), "JPEG", {"quality": 90}),
    ]
    files = []
    for number, (picture, kind, options) in enumerate(pictures):
        files.append(folder / f"{number}.{kind.lower()}")
        picture.save(files[-1], kind, **options)
    return files


def change(before: np.ndarray, now: np.ndarray) -> float:
    """The largest relative change among features [pictures, dimensions]; infinite where the shapes differ."""
    if before.shape != now.shape:
        return float("inf")
    length = np.linalg.norm(before.astype(float), axis=1).clip(min=1e-12)
    return float((np.linalg.norm(now.astype(float) - before, axis=1) / length).max())


def _picture(width: int, height: int) -> Image.Image:
    """Coarse and fine coloured noise, so that every scale has something to change."""
    generator = np.random.default_rng([width, height])
    coarse = Image.fromarray(generator.integers(0, 256, (8, 8, 3), dtype=np.uint8))
    fine = generator.integers(-40, 41, (height, width, 3))
    pixels = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)).astype(int) + fine
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
