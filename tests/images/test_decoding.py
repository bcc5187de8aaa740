"""Pictures as they come, and as a person would see them."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pets.images.decoding import UndecodableError, decode


def gradient(width: int = 40, height: int = 30) -> Image.Image:
    y, x = np.mgrid[0:height, 0:width]
    pixels = np.stack([x * 6, y * 8, np.full_like(x, 90)], axis=2).astype(np.uint8)
    return Image.fromarray(pixels)


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    target = io.BytesIO()
    image.save(target, kind, **options)
    return target.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "WEBP"])
def test_lossless_formats_give_their_pixels(kind: str) -> None:
    decoded = decode(encode(gradient(), kind, **({"lossless": True} if kind == "WEBP" else {})))
    assert decoded.format == kind
    np.testing.assert_array_equal(decoded.pixels, np.asarray(gradient()))


@pytest.mark.parametrize("mode", ["L", "P", "1", "CMYK", "LA", "RGBA", "I;16", "I", "F", "YCbCr"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    if mode == "I;16":
        grey = np.asarray(gradient().convert("L")).astype(np.uint16) * 256
        image = Image.fromarray(grey)
    else:
        image = gradient().convert(mode)
    kind = "TIFF" if mode in ("CMYK", "I", "F", "YCbCr") else "PNG"
    decoded = decode(encode(image, kind))
    assert decoded.pixels.shape == (30, 40, 3)
    assert decoded.pixels.dtype == np.uint8
    if mode in ("I;16", "I", "F", "L", "LA"):  # grey keeps its brightness, however many bits it had
        expected = np.asarray(gradient().convert("L")).astype(int)
        assert np.abs(decoded.pixels[..., 0].astype(int) - expected).max() <= 1


def test_transparency_lies_on_white() -> None:
    image = Image.new("RGBA", (4, 4), (200, 0, 0, 0))
    assert (decode(encode(image, "PNG")).pixels == 255).all()
    image = gradient().quantize(8)
    assert not (decode(encode(image, "PNG")).pixels == 255).all(2).any()
    assert (decode(encode(image, "PNG", transparency=bytes(8))).pixels == 255).all()


def test_first_frame_of_an_animation() -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    data = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(decode(data).pixels[0, 0], (255, 0, 0))


def test_the_camera_was_held_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be seen rotated by 90 degrees
    assert decode(encode(gradient(), "JPEG", exif=exif)).pixels.shape == (40, 30, 3)


def test_bytes_after_the_end_are_ignored() -> None:
    data = encode(gradient(), "JPEG")
    np.testing.assert_array_equal(decode(data + b"trailing" * 100).pixels, decode(data).pixels)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the file is empty"),
        (b"not a picture", "not a picture of a known format"),
        (encode(gradient(), "JPEG")[:-200], "(?i)truncated"),
        (encode(gradient(), "PNG")[:-40], "(?i)truncated"),
    ],
)
def test_what_cannot_be_read_says_why(data: bytes, reason: str) -> None:
    with pytest.raises(UndecodableError, match=reason):
        decode(data)


@settings(max_examples=200, deadline=None)
@given(
    kind=st.sampled_from(["JPEG", "PNG", "GIF", "WEBP"]),
    position=st.floats(0, 1, exclude_max=True),
    byte=st.integers(0, 255),
    cut=st.floats(0, 1),
)
def test_damaged_bytes_decode_or_are_told(kind: str, position: float, byte: int, cut: float) -> None:
    data = bytearray(encode(gradient(), kind))
    data[int(position * len(data))] = byte
    try:
        pixels = decode(bytes(data[: int(cut * len(data))])).pixels
    except UndecodableError:
        return
    assert pixels.ndim == 3


@pytest.mark.parametrize("error", [MemoryError(), AssertionError(), ValueError("a reason")])
def test_an_error_without_a_message_is_named(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """The catalog's reason is never empty."""

    def fails(_: object) -> None:
        raise error

    monkeypatch.setattr(Image, "open", fails)
    with pytest.raises(UndecodableError, match=str(error) or type(error).__name__):
        decode(b"a picture")
