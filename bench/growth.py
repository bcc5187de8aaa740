"""Every stage from the archives to the report as a data set grows, each run in a process of its own.

The stages are the real ones, on small JPEG files in the official layout; in place of the network, which takes
the same time for every picture, the store is filled with synthetic vectors, and the report only reads the
evaluations. At a million rows only the store and the training run. Times, peak memory and exponents
are printed and written to bench/results/growth.csv, and as a chart to growth.svg; ``python -m bench.growth
1000 10000`` prints those of other sizes.
"""

import hashlib
import io
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from ruamel.yaml import YAML

from bench.growth_chart import draw
from bench.workspace import ROOT
from pets.core.files import write_json
from pets.dataset import OK, Dataset
from pets.embeddings import store
from pets.report.evaluation import read_all

SIZES = (1_000, 10_000, 100_000, 1_000_000)
PICTURES = 100_000  # at most so many rows are picture files; beyond, only store and train
RESULTS = ROOT / "bench" / "results"
DATASET, BACKBONE, HEAD = "oxford-iiit-pet", "efficientnet_lite0", "linear"
CLASSES, DIMENSIONS = 37, 256
STORE, REPORT = "store", "report"
OF_PICTURES = ("download", "catalog", "catalog again", "split")
STEPS = (*OF_PICTURES, STORE, "train", "evaluate", REPORT)
RECIPE = {
    "backbone": "synthetic vectors",
    "weights_file": None,
    "weights_sha256": None,
    "layer": "none",
    "dimensions": DIMENSIONS,
    "preprocessing": None,
    "engine": "none",
    "precision": "float32",
    "views": 1,
    "dtype": "float16",
}


def main(sizes: tuple[int, ...] = SIZES) -> None:
    """Run all sizes; print and write the table, and draw the chart."""
    rows: list[dict[str, Any]] = []
    print(f"{'growth':24}{'rows':>12}{'time':>12}{'exponent':>10}{'peak':>12}")
    for size in sizes:
        for step, seconds, peak in measure(size):
            before = next((row for row in reversed(rows) if row["step"] == step), None)
            exponent = (
                float(np.log(seconds / before["seconds"]) / np.log(size / before["rows"]))
                if before
                else float("nan")
            )
            rows.append(
                {"step": step, "rows": size, "seconds": seconds, "exponent": exponent, "peak_mib": peak}
            )
            print(f"{step:24}{size:12,}{seconds:10.2f} s{exponent:10.2f}{peak:8.0f} MiB", flush=True)
    table = pd.DataFrame(rows).round({"seconds": 2, "exponent": 2, "peak_mib": 0})
    if sizes == SIZES:
        RESULTS.mkdir(exist_ok=True)
        table.to_csv(RESULTS / "growth.csv", index=False, lineterminator="\n")
        (RESULTS / "growth.svg").write_text(draw(table))


def measure(size: int) -> Iterator[tuple[str, float, float]]:
    """Each step's name, seconds, and peak memory in MiB, start of Python included."""
    with tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder)
        parameters = YAML(typ="safe").load(ROOT / "params.yaml")
        parameters["run"] = {"datasets": [DATASET], "backbones": [BACKBONE], "heads": [HEAD]}
        if size <= PICTURES:
            parameters["datasets"][DATASET] |= write_archives(workspace, size)
        else:
            write_splits(workspace, size)
        YAML(typ="safe").dump(parameters, workspace / "params.yaml")
        for step in STEPS if size <= PICTURES else (STORE, "train"):
            stage = step.split()[0]
            arguments = {"train": [BACKBONE, HEAD], "evaluate": [BACKBONE, HEAD]}.get(stage, [])
            module = "bench.growth" if step in OWN else f"stages.{stage}"
            yield step, *run(workspace, module, *([step] if step in OWN else [DATASET, *arguments]))


# A process's peak memory is at least that of the one that started it, which is why a small one does.
START = """
import resource, subprocess, sys
done = subprocess.run([sys.executable, "-m", *sys.argv[1:]], stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**10)
sys.exit(done.returncode)
"""


def run(workspace: Path, module: str, *arguments: str) -> tuple[float, float]:
    """Seconds and peak memory in MiB of a module run there."""
    command = [sys.executable, "-S", "-c", START, module, *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    start = time.perf_counter()
    done = subprocess.run(command, cwd=workspace, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{module} failed: {done.stderr}")
    return time.perf_counter() - start, float(done.stdout)


def write_archives(workspace: Path, size: int) -> dict[str, dict[str, str]]:
    """The two archives of the official layout, and their entries in params.yaml."""
    encoded = io.BytesIO()
    Image.linear_gradient("L").resize((64, 48)).convert("RGB").save(encoded, "JPEG")
    start, rest = encoded.getvalue()[:2], encoded.getvalue()[2:]
    lists: dict[str, list[str]] = {"trainval": [], "test": []}
    with tarfile.open(workspace / "images.tar.gz", "w:gz", compresslevel=1) as archive:
        for number in range(size):
            comment = b"\xff\xfe\x00\x0a%08d" % number  # gives the file bytes, and a checksum, of its own
            add(archive, f"images/{name(number)}.jpg", start + comment + rest)
            part = "test" if number // CLASSES % 2 else "trainval"
            lists[part].append(f"{name(number)} {number % CLASSES + 1} 2 {number % CLASSES + 1}\n")
    with tarfile.open(workspace / "annotations.tar.gz", "w:gz") as archive:
        for part, lines in lists.items():
            add(archive, f"annotations/{part}.txt", "".join(lines).encode())
    files = {each: workspace / f"{each}.tar.gz" for each in ("images", "annotations")}
    return {
        each: {"url": str(file), "md5": hashlib.md5(file.read_bytes()).hexdigest()}
        for each, file in files.items()
    }


def name(number: int) -> str:
    return f"breed{number % CLASSES:02d}_{number}"


def add(archive: tarfile.TarFile, path: str, data: bytes) -> None:
    member = tarfile.TarInfo(path)
    member.size = len(data)
    archive.addfile(member, io.BytesIO(data))


def write_splits(workspace: Path, size: int) -> None:
    """Catalog and splits of pictures that are not there, in the shares of those that are."""
    images = pd.DataFrame({"image_id": [name(number) for number in range(size)]})
    images["label"] = images["image_id"].str.partition("_")[0]
    images["species"] = "dog"
    of_class = np.arange(size) // CLASSES
    training = np.where(of_class // 2 % 5 == 0, "val", "train")  # split.validation is a fifth of them
    images["split"] = np.where(of_class % 2, "test", training)
    folder = workspace / Dataset(DATASET).folder
    folder.mkdir(parents=True)
    images.to_parquet(folder / "splits.parquet", index=False)
    images["sha256"] = [hashlib.sha256(each.encode()).hexdigest() for each in images["image_id"]]
    images["status"] = OK
    images.to_parquet(folder / "catalog.parquet", index=False)
    origin = {"label_name": "breed", "synthetic": True}
    write_json(workspace / "data" / DATASET / "origin.json", origin)


def fill_store() -> None:
    """In place of `embed`: vectors around a mean for each class."""
    images = pd.read_parquet(
        Dataset(DATASET).folder / "catalog.parquet", columns=["image_id", "sha256", "status"]
    )
    random = np.random.default_rng(0)
    means = random.random((CLASSES, DIMENSIONS), dtype=np.float32)

    def vectors(missing: pd.DataFrame) -> Iterator[np.ndarray]:
        for start in range(0, len(missing), 256):
            batch = missing["image_id"].iloc[start : start + 256]
            classes = batch.str.slice(5, 7).astype(int).to_numpy()
            noise = random.standard_normal((len(batch), DIMENSIONS), dtype=np.float32)
            yield np.maximum(means[classes] + noise, 0)

    fixed = np.ones((1, DIMENSIONS), dtype=np.float32)
    folder = Dataset(DATASET).embeddings(BACKBONE)
    store.update(folder, images[["image_id", "sha256"]], RECIPE, "CPU", fixed, vectors)


def read_evaluations() -> None:
    """In place of `report`, which needs every gallery: the part of it that depends on the rows."""
    read_all(Path("evaluations"), [(DATASET, BACKBONE, HEAD)])


OWN = {STORE: fill_store, REPORT: read_evaluations}

if __name__ == "__main__":
    if sys.argv[1:] and sys.argv[1] in OWN:
        OWN[sys.argv[1]]()
    else:
        main(tuple(map(int, sys.argv[1:])) or SIZES)
