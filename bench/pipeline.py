"""`dvc repro` on all the Pets at 128 px, EfficientNet-Lite0 and the linear head; again; and the galleries."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).parent.parent
PETS = ROOT.parent / "shared" / "data" / "oxford-iiit-pet-128px"


def main() -> None:
    if not PETS.is_dir():
        print("pipeline: skipped, it needs ../shared/data/oxford-iiit-pet-128px")
        return
    with tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder)
        for name in ("pets", "stages", ".dvc"):
            shutil.copytree(
                ROOT / name, workspace / name, ignore=shutil.ignore_patterns("cache", "tmp", "__pycache__")
            )
        for name in ("params.yaml", "dvc.yaml", ".gitignore"):
            shutil.copy(ROOT / name, workspace)
        subprocess.run(["git", "init", "-q"], cwd=workspace, check=True)
        _set(workspace, "run.backbones=[efficientnet_lite0]", "run.heads=[linear]")
        for name in ("images", "annotations"):
            file = PETS / f"{name}.tar.gz"
            md5 = hashlib.md5(file.read_bytes()).hexdigest()
            _set(
                workspace,
                *(
                    f"datasets.oxford-iiit-pet.{name}.{key}={value}"
                    for key, value in (("url", file), ("md5", md5))
                ),
            )
        _report("dvc repro, 7,349 images, archives to evaluation", workspace, "evaluate")
        _report("dvc repro again, nothing changed", workspace, "evaluate")
        _set(workspace, "train.linear.penalties=[0.01, 0.1]")
        _report("dvc repro, other penalties", workspace, "evaluate")
        _report("dvc repro, the galleries and the report", workspace)


def _set(workspace: Path, *assignments: str) -> None:
    subprocess.run([sys.executable, "-m", "stages.params", *assignments], cwd=workspace, check=True)


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
