"""Bytes to pixels, as every stage decodes a picture.

By Pillow, which recognizes a format by its content: the official Pets contain PNG and GIF files named .jpg.
"""

import io
import warnings
from dataclasses import dataclass

import numpy as np
from PIL import ExifTags, Image

from pets.images.metadata import without_metadata

MOST = 1 << 23  # pixels: an attack needs about 400 bytes for each
LONGEST = 40  # long side to short side; enlarging the short side to a network's input enlarges both

warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # from twice its limit on, Pillow raises

# By EXIF orientation.
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SIDEWAYS = {TURNS[orientation] for orientation in (5, 6, 7, 8)}


class UndecodableError(Exception):
    """These bytes are not a complete picture; the message says why."""


@dataclass(frozen=True)
class Decoded:
    """``pixels``: uint8 RGB [height, width, 3]; ``format``, ``mode`` and ``size`` (width, height) as the file
    has them, before any shrinking, but upright."""

    pixels: np.ndarray
    format: str
    mode: str
    size: tuple[int, int]


def decode(data: bytes, side: int | None = None) -> Decoded:
    """Decode a picture in full, as a person would see it.

    The camera's orientation (EXIF) is applied, transparent pixels are composited on white, grey and palette
    modes become RGB, and only the first frame of an animation is used. Bytes after the picture's end are
    ignored, and so is metadata that is broken. A picture of over ``MOST`` pixels is shrunk, each side by the
    same power of two, so that memory is bounded. Raises UndecodableError where the picture is truncated or
    damaged, is no picture, or is over ``LONGEST`` times as long as wide.

    With a ``side``, as for a thumbnail, a JPEG is decoded at the smallest scale whose longer side has as many
    pixels, which takes half the time.
    """
    reason = "" if data else "the file is empty"
    for each in (data, without_metadata(data)):
        try:
            return _decode(each, side)
        except UndecodableError:
            raise
        except Exception as error:  # noqa: BLE001 (of broken files, decoders raise anything)
            known = "cannot identify" not in str(error)
            said = str(error) or type(error).__name__  # some errors, such as MemoryError, have no message
            reason = reason or (said if known else "not a picture of a known format")
    raise UndecodableError(reason)


def _decode(data: bytes, side: int | None) -> Decoded:
    with Image.open(io.BytesIO(data)) as image:
        kind, mode, (width, height) = image.format or "", image.mode, image.size
        if max(width, height) > LONGEST * min(width, height):
            raise UndecodableError(f"{width}x{height} pixels: one side is over {LONGEST} times the other")
        factor = 1
        while width * height > MOST * factor**2:
            factor *= 2
        scale = max(factor, max(width, height) / side) if side else factor
        wanted = int(width / scale), int(height / scale)
        image.draft(None, wanted)  # of a JPEG, only the pixels needed are made
        image.load()
        turn = _turn(image)
        rgb = _rgb(image if turn is None else image.transpose(turn))
    while rgb.width * rgb.height > MOST:
        rgb = rgb.reduce(2)
    size = (height, width) if turn in SIDEWAYS else (width, height)
    return Decoded(np.asarray(rgb), kind, mode, size)


def _turn(image: Image.Image) -> Image.Transpose | None:
    """What makes the picture upright; None where it is, or where its metadata can't be read."""
    try:
        return TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # noqa: BLE001 (of broken EXIF or XMP, parsers raise anything; the pixels are fine)
        return None


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):  # 16 bits and more a pixel: convert() alone would clip, not scale
        values = np.asarray(image).astype(np.float64)
        top = 65535 if values.max(initial=0) > 255 else 255
        return Image.fromarray((values.clip(0, top) * (255 / top)).round().astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        with_alpha = image.convert("RGBA")
        white = Image.new("RGBA", with_alpha.size, "white")
        return Image.alpha_composite(white, with_alpha).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")  # which would copy it
