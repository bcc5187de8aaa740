"""Bytes to pixels, as every stage decodes a picture.

By Pillow, which recognizes a format by its content: the official Pets contain PNG and GIF files named .jpg.
"""

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps


class UndecodableError(Exception):
    """These bytes are not a complete picture; the message says why."""


@dataclass(frozen=True)
class Decoded:
    """``pixels``: uint8 RGB [height, width, 3]; ``format`` and ``mode`` as the file has them."""

    pixels: np.ndarray
    format: str
    mode: str


def decode(data: bytes) -> Decoded:
    """Decode a picture in full, as a person would see it.

    The camera's orientation (EXIF) is applied, transparent pixels are composited on white, grey and palette
    modes become RGB, and only the first frame of an animation is used. Bytes after the picture's end are
    ignored. Raises UndecodableError where the picture is truncated or damaged, or is no picture.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            kind, mode = image.format or "", image.mode
            pixels = np.asarray(_rgb(ImageOps.exif_transpose(image)))
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        reason = "not a picture of a known format" if "cannot identify" in str(error) else str(error)
        raise UndecodableError(reason if data else "the file is empty") from None
    return Decoded(pixels, kind, mode)


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):  # 16 bits and more a pixel: convert() alone would clip, not scale
        values = np.asarray(image).astype(np.float64)
        top = 65535 if values.max(initial=0) > 255 else 255
        return Image.fromarray((values.clip(0, top) * (255 / top)).round().astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        with_alpha = image.convert("RGBA")
        white = Image.new("RGBA", with_alpha.size, "white")
        return Image.alpha_composite(white, with_alpha).convert("RGB")
    return image.convert("RGB")
