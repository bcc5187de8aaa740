"""Thumbnails: JPEGs of a bounded size that show what the whole picture shows."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image

from pets.images.decoding import decode
from pets.images.thumbnails import thumbnail


def smooth(width: int, height: int) -> Image.Image:
    """Four coloured corners, blended."""
    corners = np.array([[[250, 20, 20], [20, 250, 20]], [[20, 20, 250], [240, 240, 20]]], np.uint8)
    return Image.fromarray(corners).resize((width, height), Image.Resampling.BICUBIC)


def pixels(jpeg: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB")).astype(int)


@settings(deadline=None)
@given(st.integers(60, 900), st.integers(60, 900), st.sampled_from(["JPEG", "PNG"]), st.booleans())
def test_a_thumbnail_is_the_picture_made_smaller(width: int, height: int, kind: str, turned: bool) -> None:
    """Whatever scale its JPEG was decoded at, and upright."""
    file, exif = io.BytesIO(), Image.Exif()
    if turned:
        exif[ExifTags.Base.Orientation] = 6
    smooth(width, height).save(file, kind, exif=exif)
    expected = Image.fromarray(decode(file.getvalue()).pixels)
    expected.thumbnail((100, 100), Image.Resampling.BICUBIC)
    found = pixels(thumbnail(file.getvalue(), 100))
    assert max(found.shape[:2]) <= 100
    assert np.abs(np.subtract(found.shape[:2], (expected.height, expected.width))).max() <= 1
    same = np.asarray(expected.resize((found.shape[1], found.shape[0]))).astype(int)
    assert np.abs(found - same).mean() < 10  # of JPEG, which is twice here


@pytest.mark.parametrize("side", [None, 200, 100])
def test_a_jpeg_is_decoded_no_smaller_than_asked_for(side: int | None) -> None:
    file = io.BytesIO()
    smooth(800, 600).save(file, "JPEG")
    decoded = decode(file.getvalue(), side)
    assert decoded.size == (800, 600)
    assert decoded.pixels.shape == {None: (600, 800, 3), 200: (150, 200, 3), 100: (75, 100, 3)}[side]
