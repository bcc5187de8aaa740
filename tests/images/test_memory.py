"""Memory for one picture is bounded, whatever its width and height."""

import io
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from pets.images.decoding import LONGEST, MOST, UndecodableError, decode
from tests.conftest import ROOT

# Reads pictures as embed, a page and an attack with a gradient do; prints the peaks of memory, in MiB.
READ = """
import resource, sys
from pathlib import Path
from pets.images.decoding import decode
from pets.images.preprocessing import Preprocessing, to_tensor
from pets.images.thumbnails import thumbnail

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

before = peak()
preprocessing = Preprocessing(256, 224, 288, "bicubic", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
for file in sys.argv[1:]:
    picture = to_tensor(decode(Path(file).read_bytes()).pixels)
    assert [view.shape[-1] for view in preprocessing.views(picture, 2)] == [224, 288]
    thumbnail(Path(file).read_bytes())
embedded = peak()
for file in sys.argv[1:]:
    floats = (to_tensor(decode(Path(file).read_bytes()).pixels) / 255).requires_grad_()
    sum(view.sum() for view in preprocessing.views(floats, 2)).backward()
print(embedded - before, peak() - before)
"""


def encoded(width: int, height: int, kind: str, mode: str = "RGB") -> bytes:
    target = io.BytesIO()
    Image.new(mode, (width, height), 150).save(target, kind)
    return target.getvalue()


def test_reading_takes_a_bounded_amount(tmp_path: Path) -> None:
    shapes = [(12000, 12000, "JPEG"), (9500, 9500, "PNG"), (9000, 300, "WEBP")]
    files = [tmp_path / str(number) for number in range(len(shapes))]
    for file, shape in zip(files, shapes, strict=True):
        file.write_bytes(encoded(*shape))
    output = subprocess.check_output([sys.executable, "-c", READ, *files], cwd=ROOT, text=True)
    embedded, attacked = map(int, output.split())
    assert embedded < 1200
    assert attacked < 2000


@pytest.mark.parametrize(("width", "height"), [(1, 5000), (5000, 1), (3, 65000), (401, 10)])
def test_a_strip_is_left_out_with_the_reason(width: int, height: int) -> None:
    with pytest.raises(UndecodableError, match=f"{width}x{height} pixels: one side is over {LONGEST} times"):
        decode(encoded(width, height, "PNG"))
    assert decode(encoded(400, 10, "PNG")).pixels.shape == (10, 400, 3)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_large_picture_is_shrunk_and_its_size_remembered(kind: str, mode: str) -> None:
    decoded = decode(encoded(4002, 3002, kind, mode))
    assert decoded.size == (4002, 3002)
    assert decoded.pixels.shape == (1501, 2001, 3)
    assert (
        abs(decoded.pixels.astype(int) - decode(encoded(8, 8, kind, mode)).pixels[0, 0]).max() <= 2
    )  # WebP's rounding
    limit = int(MOST**0.5)
    assert decode(encoded(limit, limit, kind, mode)).pixels.shape == (limit, limit, 3)


def test_a_large_picture_is_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    target = io.BytesIO()
    Image.new("RGB", (6000, 3000)).save(target, "JPEG", exif=exif)
    decoded = decode(target.getvalue())
    assert (decoded.size, decoded.pixels.shape) == ((3000, 6000), (3000, 1500, 3))
