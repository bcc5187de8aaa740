"""JPEG and PNG files without their metadata, for pictures whose metadata is too broken for a decoder."""

import struct

PNG = b"\x89PNG\r\n\x1a\n"
PIXELS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}  # the chunks of a PNG that say what its pixels are
JFIF, ADOBE, COMMENT = 0xE0, 0xEE, 0xFE  # markers of a JPEG; Adobe's says which colours CMYK pixels have


def without_metadata(data: bytes) -> bytes:
    """The same picture without EXIF, XMP, ICC profile, texts and comments; other formats as they are."""
    if data.startswith(PNG):
        return PNG + b"".join(chunk for kind, chunk in _chunks(data) if kind in PIXELS)
    return _without_segments(data) if data.startswith(b"\xff\xd8") else data


def _chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """The chunks of a PNG: kind, and all its bytes."""
    found, start = [], len(PNG)
    while start + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, start)
        found.append((kind, data[start : start + 12 + length]))
        start += 12 + length
    return found


def _without_segments(data: bytes) -> bytes:
    """A JPEG up to its first scan without application segments and comments, and from there unchanged."""
    kept, start = data[:2], 2
    while start + 4 <= len(data) and data[start] == 0xFF:
        marker, length = struct.unpack_from(">xBH", data, start)
        if marker == 0xDA:
            break
        if marker in (JFIF, ADOBE) or not (JFIF < marker <= 0xEF or marker == COMMENT):
            kept += data[start : start + 2 + length]
        start += 2 + length
    return kept + data[start:]
