"""The Prefect flow beside `dvc repro`: stages that wait, and what the flow costs where nothing is to be done.

A stage that waits (for a download, a GPU, a queue) leaves the processor to others, so that side by side is
quicker even on one core. Stages that compute share the cores, and gain what one of them leaves unused.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx

from bench.table import compare

ROOT = Path(__file__).parent.parent
PAUSE = 6  # seconds that each of the waiting stages waits
WAITING = 4  # of them, with nothing between them
SERVER = "http://127.0.0.1:4288/api"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "PREFECT_HOME": f"{folder}/prefect",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        }
        environment.pop("PREFECT_API_URL", None)
        waiting, sample = Path(folder, "waiting"), Path(folder, "sample")
        _make_waiting(waiting)
        _make_sample(sample)
        _both(f"{WAITING} stages that wait {PAUSE} s each; own server", waiting, environment, fresh=True)
        _both("  again, nothing to be done", waiting, environment)
        with subprocess.Popen(
            ["prefect", "server", "start", "--port", SERVER.split(":")[2].split("/")[0]],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as server:
            _wait_for_server()
            environment["PREFECT_API_URL"] = SERVER
            _both(f"{WAITING} stages that wait; a server is there", waiting, environment, fresh=True)
            _both("  again, nothing to be done", waiting, environment)
            _both("drawn sample, 2 backbones x 2 heads", sample, environment, fresh=True)
            _both("  again, nothing to be done", sample, environment)
            server.terminate()


def _both(what: str, workspace: Path, environment: dict[str, str], fresh: bool = False) -> None:
    """Time the flow and `dvc repro` in turn; with ``fresh`` everything that they made is removed before."""

    def run(*command: str) -> None:
        if fresh:
            subprocess.run(["git", "clean", "-fdxq"], cwd=workspace, check=True)
        subprocess.run(command, cwd=workspace, env=environment, check=True, capture_output=True)

    compare(
        what,
        lambda: run(sys.executable, "-m", "flows.pipeline", "--jobs", "4"),
        lambda: run("dvc", "repro"),
        pairs=1 if fresh else 3,
    )


def _make_waiting(workspace: Path) -> None:
    names = [f"wait{number}" for number in range(WAITING)]
    stages = "".join(
        f"  {name}:\n    cmd: sleep {PAUSE}; touch {name}\n    outs: [{name}]\n" for name in names
    )
    last = f"  last:\n    cmd: touch last\n    deps: [{', '.join(names)}]\n    outs: [last]\n"
    workspace.mkdir()
    (workspace / "dvc.yaml").write_text(f"stages:\n{stages}{last}")
    (workspace / ".gitignore").write_text("".join(f"/{name}\n" for name in [*names, "last"]))
    _commit(workspace)


def _make_sample(workspace: Path) -> None:
    workspace.mkdir()
    for name in ("flows", "stages"):
        shutil.copytree(ROOT / name, workspace / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("params.yaml", "dvc.yaml", ".gitignore"):
        shutil.copy(ROOT / name, workspace)
    changes = [
        "run.datasets=[sample]",
        "run.backbones=[efficientnet_lite0, efficientnet_lite1]",
        "run.heads=[linear, knn]",
        "datasets.sample.per_breed=6",
        "datasets.sample.size=128",
    ]
    subprocess.run([sys.executable, "-m", "stages.params", *changes], cwd=workspace, check=True)
    _commit(workspace)


def _commit(workspace: Path) -> None:
    shutil.copytree(ROOT / ".dvc", workspace / ".dvc", ignore=shutil.ignore_patterns("cache", "tmp"))
    author = ["-c", "user.name=bench", "-c", "user.email=bench@localhost"]
    for command in (["init", "-q"], ["add", "-A"], [*author, "commit", "-qm", "bench"]):
        subprocess.run(["git", *command], cwd=workspace, check=True)


def _wait_for_server() -> None:
    while True:
        try:
            if httpx.get(f"{SERVER}/health").is_success:
                return
        except httpx.TransportError:
            time.sleep(0.5)
