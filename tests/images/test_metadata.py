"""Pictures whose metadata is broken while their pixels are fine: every viewer shows them."""

import io
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from pets.images.decoding import decode
from pets.images.metadata import without_metadata

FUZZED = 2000  # pictures, of all formats together
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'
)
ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def exif() -> Image.Exif:
    """An orientation, and tags of several types in three directories."""
    tags = Image.Exif()
    tags[0x0112], tags[0x010F], tags[0x011A], tags[0x0100] = 6, "Camera", 72.0, 48
    tags.get_ifd(0x8769)[0x9003] = "2020:01:01 00:00:00"
    tags.get_ifd(0x8825)[2] = (1.0, 2.0, 3.0)
    return tags


def texts() -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", "plain " * 20)
    info.add_text("Compressed", "text " * 100, zip=True)
    info.add_itxt("XML:com.adobe.xmp", XMP.decode())
    return info


OPTIONS: dict[str, dict[str, object]] = {
    "JPEG": {"exif": exif(), "icc_profile": ICC, "xmp": XMP, "comment": b"comment"},
    "PNG": {"exif": exif(), "icc_profile": ICC, "pnginfo": texts(), "dpi": (72, 72)},
    "WEBP": {"exif": exif(), "icc_profile": ICC, "xmp": XMP},
    "GIF": {"comment": b"comment" * 9},
}


def encoded(kind: str, **options: object) -> bytes:
    y, x = np.mgrid[0:36, 0:48]
    target = io.BytesIO()
    pixels = np.stack([x * 5, y * 7, np.full_like(x, 90)], axis=2).astype(np.uint8)
    Image.fromarray(pixels).save(target, kind, lossless=True, **options)  # only WebP has that option
    return target.getvalue()


def metadata(kind: str, data: bytes) -> list[tuple[int, int]]:
    """Where metadata begins and ends, without the lengths and names around it."""
    return list({"JPEG": segments, "PNG": chunks, "WEBP": riff, "GIF": comments}[kind](data))


def segments(data: bytes) -> Iterator[tuple[int, int]]:
    start = 2
    while data[start + 1] != 0xDA:
        marker, length = struct.unpack_from(">xBH", data, start)
        if 0xE1 <= marker <= 0xEF or marker == 0xFE:
            yield start + 4, start + 2 + length
        start += 2 + length


def chunks(data: bytes) -> Iterator[tuple[int, int]]:
    start = 8
    while start < len(data):
        length, kind = struct.unpack_from(">I4s", data, start)
        if kind not in (b"IHDR", b"IDAT", b"IEND"):
            yield start + 8, start + 8 + length
        start += 12 + length


def riff(data: bytes) -> Iterator[tuple[int, int]]:
    start = 12
    while start < len(data):
        kind, length = struct.unpack_from("<4sI", data, start)
        if kind in (b"EXIF", b"XMP ", b"ICCP"):
            yield start + 8, start + 8 + length
        start += 8 + length + length % 2


def comments(data: bytes) -> Iterator[tuple[int, int]]:
    start = data.index(b"!\xfe") + 3
    yield start, start + data[start - 1]


def with_checksums(data: bytes) -> bytes:
    """A PNG whose chunks' checksums fit their bytes again."""
    result, start = bytearray(data), 8
    while start < len(data):
        (length,) = struct.unpack_from(">I", data, start)
        struct.pack_into(">I", result, start + 8 + length, zlib.crc32(result[start + 4 : start + 8 + length]))
        start += 12 + length
    return bytes(result)


def fuzzed(kind: str, source: random.Random) -> bytes:
    """One to three pieces of metadata with random bytes, wrong tag types, zeros or ones in places."""
    clean = encoded(kind, **OPTIONS[kind])
    data, places = bytearray(clean), metadata(kind, clean)
    for _ in range(source.randint(1, 3)):
        start, end = source.choice(places)
        first = source.randrange(start, end)
        last = min(end, first + source.randint(1, 40))
        match source.randrange(4):
            case 0:
                data[start:end] = source.randbytes(end - start)
            case 1:
                data[first:last] = source.randbytes(last - first)
            case 2:
                data[first:last] = source.choice([b"\x00", b"\xff"]) * (last - first)
            case 3:
                for place in range(start, end - 1, 2):
                    if source.random() < 0.05:
                        data[place : place + 2] = struct.pack(">H", source.randrange(15))
    return with_checksums(bytes(data)) if kind == "PNG" and source.random() < 0.7 else bytes(data)


def upright(pixels: np.ndarray) -> list[bytes]:
    """The picture's bytes in all eight orientations, since a fuzzed orientation is a valid one."""
    turned = [np.rot90(each, turns) for each in (pixels, pixels[:, ::-1]) for turns in range(4)]
    return [np.ascontiguousarray(each).tobytes() for each in turned]


@pytest.mark.parametrize("kind", OPTIONS)
def test_fuzzed_metadata_stops_no_picture(kind: str) -> None:
    """Each is used, with the pixels that it has without any metadata, in one of the eight orientations."""
    expected = upright(decode(encoded(kind)).pixels)
    source = random.Random(f"metadata of {kind}")
    for _ in range(FUZZED // len(OPTIONS)):
        data = fuzzed(kind, source)
        assert decode(data).pixels.tobytes() in expected


def test_the_orientation_is_applied_although_another_tag_is_broken(shared: Path) -> None:
    """Three photographs that every viewer shows, one tag of each of a wrong type."""
    files = sorted((shared / "faults").glob("*.jpg"))
    assert len(files) == 3
    for file in files:
        with Image.open(file) as image:
            orientation = image.getexif()[0x0112]
            raw = np.asarray(image.convert("RGB"))
        assert orientation == 6
        np.testing.assert_array_equal(decode(file.read_bytes()).pixels, np.rot90(raw, -1))


@pytest.mark.parametrize(
    "text",
    [
        b"tEXt" + b"no separator",
        b"zTXt" + b"key\x00\x00not compressed",
        b"iTXt" + b"\x00",
        b"zTXt" + b"bomb\x00\x00" + zlib.compress(bytes(1 << 21)),
        b"iCCP" + b"profile\x00\x00not compressed",
        b"pHYs" + b"\x00",
        b"eXIf" + b"II*\x00\xff\xff\xff\xff",
        b"gAMA" + b"",
        b"cHRM" + b"\x01",
    ],
)
def test_a_png_with_a_broken_chunk(text: bytes) -> None:
    clean = encoded("PNG")
    end = clean.index(b"IDAT") - 4
    chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
    broken = clean[:end] + chunk + clean[end:]
    np.testing.assert_array_equal(decode(broken).pixels, decode(clean).pixels)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_nothing_but_metadata_is_left_out(kind: str) -> None:
    bare = without_metadata(encoded(kind, **OPTIONS[kind]))
    assert len(bare) < len(encoded(kind, **OPTIONS[kind])) - len(ICC)
    np.testing.assert_array_equal(decode(bare).pixels, decode(encoded(kind)).pixels)
    assert Image.open(io.BytesIO(bare)).getexif() == {}


@pytest.mark.parametrize(
    "change", [lambda data: data[: len(data) // 2], lambda data: data[:4], bytes.swapcase]
)
@pytest.mark.parametrize("kind", OPTIONS)
def test_without_metadata_of_damaged_files_ends(kind: str, change: Callable[[bytes], bytes]) -> None:
    damaged = change(encoded(kind, **OPTIONS[kind]))
    assert len(without_metadata(damaged)) <= len(damaged)
