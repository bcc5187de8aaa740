"""`dvc repro` on all the Pets at 128 px, EfficientNet-Lite0 and the linear head; again; and the galleries."""

import hashlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

from bench.workspace import ROOT, clone, set_params

PETS = ROOT.parent / "shared" / "data" / "oxford-iiit-pet-128px"


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
    peak = [0]
    watcher = threading.Thread(target=_watch, args=(process, peak), daemon=True)
    watcher.start()
    output, errors = process.communicate()
    seconds = time.perf_counter() - start
    if process.returncode:
        raise SystemExit(output + errors)
    print(f"{what:44} {seconds:10.1f} s {peak[0] / 2**20:8.0f} MiB", flush=True)
    print("".join(f"  {line}\n" for line in output.splitlines() if "embedded" in line), end="")


def _watch(process: "subprocess.Popen[str]", peak: list[int]) -> None:
    root = psutil.Process(process.pid)
    while process.poll() is None:
        try:
            family = [root, *root.children(recursive=True)]
            peak[0] = max(peak[0], sum(each.memory_info().rss for each in family))
        except psutil.NoSuchProcess:
            pass
        time.sleep(0.1)
