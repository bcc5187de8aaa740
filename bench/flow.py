"""The Prefect flow beside `dvc repro`: stages that wait, and what the flow costs where nothing is to be done.

A stage that waits (for a download, a GPU, a queue) leaves the processor to others, so that side by side is
quicker even on one core. Stages that compute share the cores, and gain what one of them leaves unused.
"""

import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from bench.table import row, seconds
from bench.workspace import ROOT, clone, commit

SMALL = "datasets.sample.per_breed=6", "datasets.sample.size=128"
PAUSE = 6  # seconds that each of the waiting stages waits
WAITING = 4  # of them, with nothing between them


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
        changes = "run.backbones=[efficientnet_lite0, efficientnet_lite1]", "run.heads=[linear, knn]"
        clone(sample, "run.datasets=[sample]", *changes, *SMALL)
        _both(f"{WAITING} stages that wait {PAUSE} s, own server", waiting, environment, "last")
        with _server(environment) as address:
            environment["PREFECT_API_URL"] = address
            _both(f"{WAITING} stages that wait {PAUSE} s, a server", waiting, environment, "last")
            _both("synthetic sample, 2 backbones x 2 heads, a server", sample, environment, "evaluate")


def _both(what: str, workspace: Path, environment: dict[str, str], target: str) -> None:
    """Time the flow and `dvc repro`, from nothing and with nothing to be done; compare what they leave."""

    def flow() -> None:
        _run([sys.executable, "-m", "flows.pipeline", target, "--jobs", "4"], workspace, environment)

    def dvc() -> None:
        _run(["dvc", "repro", target], workspace, environment)

    def fresh(side: Callable[[], None]) -> tuple[float, list[str]]:
        _run(["git", "clean", "-fdxq"], workspace, environment)
        return seconds(side), sorted(re.split(r"\n  (?=\S)", (workspace / "dvc.lock").read_text().rstrip()))

    (theirs, their_lock), (mine, my_lock) = fresh(dvc), fresh(flow)
    row(what, mine, theirs)
    print(f"  dvc.lock is {'the same but for order' if my_lock == their_lock else 'NOT THE SAME'}")
    mine, theirs = (statistics.median(seconds(side) for _ in range(3)) for side in (flow, dvc))
    row("  again, nothing to be done", mine, theirs)
    print(f"  the flow's own cost beyond DVC's: {mine - theirs:.1f} s")


def _run(command: list[str], workspace: Path, environment: dict[str, str]) -> None:
    done = subprocess.run(command, cwd=workspace, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}:\n{done.stdout}{done.stderr}")


@contextmanager
def _server(environment: dict[str, str]) -> Iterator[str]:
    """A Prefect server on a free port of loopback; yields its API's address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}/api"
    server = subprocess.Popen(
        ["prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while not _answers(address):
            if server.poll() is not None:
                raise SystemExit("the Prefect server did not start")
            time.sleep(0.5)
        yield address
    finally:
        server.terminate()
        server.wait()


def _answers(address: str) -> bool:
    try:
        return httpx.get(f"{address}/health").is_success
    except httpx.TransportError:
        return False


def _make_waiting(workspace: Path) -> None:
    names = [f"wait{number}" for number in range(WAITING)]
    stages = "".join(
        f"  {name}:\n    cmd: sleep {PAUSE}; touch {name}\n    outs: [{name}]\n" for name in names
    )
    last = f"  last:\n    cmd: touch last\n    deps: [{', '.join(names)}]\n    outs: [last]\n"
    workspace.mkdir()
    (workspace / "dvc.yaml").write_text(f"stages:\n{stages}{last}")
    (workspace / ".gitignore").write_text("".join(f"/{name}\n" for name in [*names, "last"]))
    shutil.copytree(ROOT / ".dvc", workspace / ".dvc", ignore=shutil.ignore_patterns("cache", "tmp"))
    subprocess.run(["git", "init", "-q"], cwd=workspace, check=True)
    commit(workspace)
