"""The catalog of small JPEG files: first time, and again; each number of files in its own process."""

import contextlib
import io
import json
import math
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from bench.table import seconds
from bench.workspace import ROOT
from stages import catalog

SIZES = (1_000, 10_000, 100_000)
DATASET = "sample"  # its entry in params.yaml names the source, which has the official layout


def main(sizes: tuple[int, ...] = SIZES) -> None:
    """Print a row for each size; ``^`` is the exponent of the growth since the size before."""
    columns = ("first", "again")
    headings = "".join(f"{each:>18}" for each in columns)
    print(f"{'catalog of JPEG files, 64 x 48 pixels':44}{headings}{'peak':>14}")
    before: dict[str, float] = {}
    for size in sizes:
        command = [sys.executable, "-m", "bench.catalog", str(size)]
        found = json.loads(subprocess.check_output(command, text=True, stderr=subprocess.DEVNULL))
        cells = []
        for name in columns:
            growth = math.log10(found[name] / before[name]) if before else math.nan
            cells.append(f"{found[name]:9.2f} s" + (f" ^{growth:4.2f}" if before else "      "))
        peak = f"{found['peak']:7.0f} MiB"
        print(f"{size:44,}{''.join(f'{each:>18}' for each in cells)}{peak:>14}", flush=True)
        before = found


def measure(size: int) -> dict[str, float]:
    """Seconds for each run of the stage, and peak memory in MiB."""
    with tempfile.TemporaryDirectory() as scratch, contextlib.redirect_stdout(io.StringIO()):
        os.chdir(scratch)
        shutil.copy(ROOT / "params.yaml", scratch)
        write_pictures(Path("data", DATASET, "raw"), size)
        found = {each: seconds(lambda: catalog.main(DATASET)) for each in ("first", "again")}
        os.chdir(ROOT)
    found["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    return found


def write_pictures(raw: Path, size: int) -> None:
    """So many pictures and their lists; a comment in each file makes its bytes, and checksum, its own."""
    (raw / "images").mkdir(parents=True)
    (raw / "annotations").mkdir()
    encoded = io.BytesIO()
    Image.linear_gradient("L").resize((64, 48)).convert("RGB").save(encoded, "JPEG")
    start, rest = encoded.getvalue()[:2], encoded.getvalue()[2:]
    lists: dict[str, list[str]] = {"trainval": [], "test": []}
    for number in range(size):
        comment = b"\xff\xfe\x00\x0a%08d" % number
        (raw / "images" / f"pug_{number}.jpg").write_bytes(start + comment + rest)
        lists["test" if number % 2 else "trainval"].append(f"pug_{number} 1 2 1\n")
    for name, lines in lists.items():
        (raw / "annotations" / f"{name}.txt").write_text("".join(lines))


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]))))
