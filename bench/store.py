"""The store of embeddings as it grows: made, again, one image more, 1% more, read; each size in a process."""

import hashlib
import json
import math
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from bench.table import seconds
from pets.embeddings import store

SIZES = (1_000, 10_000, 100_000, 1_000_000)
RECIPE = {"backbone": "synthetic", "dimensions": 1280, "dtype": "float16"}
REFERENCE = np.ones((1, 1280), dtype=np.float32)


def main(sizes: tuple[int, ...] = SIZES) -> None:
    """Print a row for each size; ``^`` is the exponent of the growth since the size before."""
    columns = ("made", "again", "one more", "1% more", "read")
    headings = "".join(f"{each:>18}" for each in columns)
    print(f"{'images, vectors of 1,280 in float16':36}{headings}{'rewritten':>12}{'peak':>14}")
    before: dict[str, float] = {}
    for size in sizes:
        command = [sys.executable, "-m", "bench.store", str(size)]
        found = json.loads(subprocess.check_output(command, text=True))
        cells = []
        for name in columns:
            growth = math.log10(found[name] / before[name]) if before else math.nan
            cells.append(f"{found[name]:9.2f} s" + (f" ^{growth:4.2f}" if before else "      "))
        rewritten, peak = f"{found['rewritten']:.2%}", f"{found['peak']:7.0f} MiB"
        print(f"{size:36,}{''.join(f'{each:>18}' for each in cells)}{rewritten:>12}{peak:>14}", flush=True)
        before = found


def measure(size: int) -> dict[str, float]:
    """Seconds for each step, the share of bytes that one image more rewrites, and peak memory in MiB."""
    images = pd.DataFrame({"image_id": [f"pet_{number}" for number in range(size + size // 100)]})
    images["sha256"] = [hashlib.sha256(each.encode()).hexdigest() for each in images["image_id"]]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "store")
        found = {
            "made": seconds(lambda: update(folder, images[:size])),
            "again": seconds(lambda: update(folder, images[:size])),
        }
        old = {file.stat().st_ino for file in folder.iterdir()}
        found["one more"] = seconds(lambda: update(folder, images[: size + 1]))
        files = [file.stat() for file in folder.iterdir()]
        new = sum(each.st_size for each in files if each.st_ino not in old)
        found["rewritten"] = new / sum(each.st_size for each in files)
        found["1% more"] = seconds(lambda: update(folder, images))
        found["read"] = seconds(lambda: store.read(folder).vectors_of(images["image_id"][:100_000]))
    found["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    return found


def update(folder: Path, images: pd.DataFrame) -> None:
    store.update(folder, images, RECIPE, "CPU", REFERENCE, vectors)


def vectors(missing: pd.DataFrame) -> Iterator[np.ndarray]:
    """In place of a network."""
    batch = np.random.default_rng(0).random((256, 1280), dtype=np.float32)
    for start in range(0, len(missing), 256):
        yield batch[: len(missing) - start]


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]))))
