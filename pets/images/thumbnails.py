"""Small pictures for pages."""

import io

from PIL import Image

from pets.images.decoding import decode

SIDE = 192  # the longest, pixels
QUALITY = 85  # of JPEG


def thumbnail(data: bytes, side: int = SIDE) -> bytes:
    """A JPEG of at most ``side`` pixels a side, from an image file's bytes."""
    image = Image.fromarray(decode(data, side).pixels)
    image.thumbnail((side, side), Image.Resampling.BICUBIC)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=QUALITY)
    return file.getvalue()
