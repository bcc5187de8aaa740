"""`dvc repro` on all the Pets at 128 px, EfficientNet-Lite0 and the linear head; again; and the galleries."""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psutil

from bench.workspace import ROOT, clone, set_params

PETS = ROOT.parent / "shared" / "data" / "oxford-iiit-pet-128px"
METRICS = "evaluations/oxford-iiit-pet/efficientnet_lite0/linear/metrics.json"


def main() -> None:
    if not PETS.is_dir():
        print("pipeline: skipped, it needs ../shared/data/oxford-iiit-pet-128px")
        return
    files = {name: PETS / f"{name}.tar.gz" for name in ("images", "annotations")}
    archives = []
    for name, file in files.items():
        md5 = hashlib.md5(file.read_bytes()).hexdigest()
        archives += [f"datasets.oxford-iiit-pet.{name}.{each}" for each in (f"url={file}", f"md5={md5}")]
    with tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder, "pets")
        clone(workspace, "run.backbones=[efficientnet_lite0]", "run.heads=[linear]", *archives)
        _report("dvc repro, 7,349 images, archives to evaluation", workspace, "evaluate")
        print(f"test top-1: {json.loads((workspace / METRICS).read_text())['top1']:.4f}")
        _report("dvc repro again, nothing changed", workspace, "evaluate")
        set_params(workspace, "train.linear.penalties=[0.01, 0.1]")
        _report("dvc repro, other penalties", workspace, "evaluate")
        _report("dvc repro, the galleries and the report", workspace)


def _report(what: str, workspace: Path, *targets: str) -> None:
    """Run `dvc repro`; print its time, and the most memory that it and its stages held together."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    start = time.perf_counter()
    process = subprocess.Popen(
        ["dvc", "repro", *targets],
        cwd=workspace,
        env={**os.environ, "PATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    root, peak = psutil.Process(process.pid), 0
    while process.returncode is None:
        with suppress(psutil.NoSuchProcess):
            family = [root, *root.children(recursive=True)]
            peak = max(peak, sum(each.memory_info().rss for each in family))
        with suppress(subprocess.TimeoutExpired):
            output, errors = process.communicate(timeout=0.1)
    seconds = time.perf_counter() - start
    if process.returncode:
        raise SystemExit(output + errors)
    print(f"{what:44} {seconds:10.1f} s {peak / 2**20:8.0f} MiB", flush=True)
    print("".join(f"  {line}\n" for line in output.splitlines() if "embedded" in line), end="")
