"""A Prefect server for the tests, and a toy DVC project whose stages take as long as a test wants."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from flows.workspace import MARK
from tests.conftest import ROOT, Workspace

HERE = Path(__file__).parent


@dataclass
class Server:
    """A running Prefect server on loopback, and the environment in which Prefect's commands find it."""

    url: str
    environment: dict[str, str]

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Call its API; try again while it is too busy to answer, as Prefect's client does."""

        def answer() -> httpx.Response | None:
            try:
                came = httpx.request(method, f"{self.url}/api{path}", json=body, timeout=60)
            except httpx.TimeoutException:
                return None
            return None if came.status_code == httpx.codes.SERVICE_UNAVAILABLE else came.raise_for_status()

        came = eventually(answer, 240)
        return came.json() if came.content else None

    def post(self, path: str, **body: Any) -> Any:
        return self.ask("POST", path, body)

    def get(self, path: str) -> Any:
        return self.ask("GET", path)

    def flow_runs(self, **filters: Any) -> list[dict[str, Any]]:
        """Flow runs, the latest first."""
        runs: list[dict[str, Any]] = self.post(
            "/flow_runs/filter", flow_runs=filters, sort="EXPECTED_START_TIME_DESC"
        )
        return runs

    def task_runs(self, flow_run: dict[str, Any]) -> dict[str, dict[str, Any]]:
        """A flow run's task runs by name; the server learns of their end a little after the flow's."""

        def all_ended() -> dict[str, dict[str, Any]] | None:
            wanted = {"id": {"any_": [flow_run["id"]]}}
            runs = {each["name"]: each for each in self.post("/task_runs/filter", flow_runs=wanted)}
            ended = {"COMPLETED", "FAILED", "CANCELLED", "CRASHED"}
            return runs if runs and all(each["state_type"] in ended for each in runs.values()) else None

        return eventually(all_ended)

    def artifacts(self, flow_run: dict[str, Any]) -> dict[str, dict[str, Any]]:
        """A flow run's artifacts by key, including those of its tasks."""
        wanted = {"id": {"any_": [flow_run["id"]]}}
        return {each["key"]: each for each in self.post("/artifacts/filter", flow_runs=wanted, limit=200)}


def eventually(look: Callable[[], Any], seconds: float = 120) -> Any:
    """Call ``look`` until it returns something, and return that; ``seconds`` is only a limit."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"not within {seconds} seconds"
        time.sleep(0.3)  # a request takes the server 20 ms
    return found


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    home = tmp_path_factory.mktemp("prefect")
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PREFECT_HOME": str(home),
        "PREFECT_API_URL": f"{url}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "5",  # in place of 60: the next run of a schedule
        "DO_NOT_TRACK": "1",
    }
    with (home / "server.log").open("w") as log:
        process = subprocess.Popen(
            [
                Path(sys.executable).parent / "prefect",
                "server",
                "start",
                "--host",
                "127.0.0.1",
                "--port",
                str(port),
            ],
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

        def healthy() -> bool:
            assert process.poll() is None, (home / "server.log").read_text()
            try:
                return httpx.get(f"{url}/api/health", timeout=5).is_success
            except httpx.TransportError:
                return False

        eventually(healthy)
        yield Server(url, environment)
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


@dataclass
class Toy(Workspace):
    """The toy project (see toy.dvc.yaml) in a git repository of its own."""

    server: Server

    def set(self, seed: int) -> None:
        """Write params.yaml: the toy's only parameter, and what every params.yaml must have."""
        run = (
            "run: {datasets: [toy], backbones: [efficientnet_lite0], heads: [linear]}\ndatasets: {toy: {}}\n"
        )
        (self.path / "params.yaml").write_text(f"{run}seed: {seed}\n")

    def pause(self, seconds: float) -> None:
        """Let every stage take about ``seconds``; DVC does not know of it."""
        (self.path / "pause").write_text(str(seconds))

    def hold(self, stage: str) -> None:
        """Let a stage wait in the middle of its first output until it is released."""
        (self.path / f"hold-{stage}").touch()

    def release(self, stage: str) -> None:
        (self.path / f"hold-{stage}").unlink()

    def start(self, *words: str, **environment: str) -> "subprocess.Popen[str]":
        """Start the flow in the background."""
        return subprocess.Popen(
            [sys.executable, "-m", "flows.pipeline", *words],
            cwd=self.path,
            env={**self.server.environment, "PYTHONPATH": str(ROOT), **environment},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def flow(self, *words: str, fails: bool = False, **environment: str) -> str:
        """Run the flow; returns its output."""
        process = self.start(*words, **environment)
        output, _ = process.communicate(timeout=300)
        assert (process.returncode != 0) == fails, output
        return output

    def last_run(self) -> dict[str, Any]:
        """The run of the flow that began last, except those of deployments."""
        return self.server.flow_runs(deployment_id={"is_null_": True})[0]

    def lock(self) -> list[str]:
        """The text of dvc.lock, stage by stage, sorted by name."""
        text = (self.path / "dvc.lock").read_text()
        stages: list[str] = []
        for line in text.splitlines():
            if line.startswith("  ") and not line.startswith("   "):
                stages.append(line)
            elif stages:
                stages[-1] += f"\n{line}"
        return sorted(stages)

    def outputs(self) -> dict[str, str]:
        """Every file that the stages made, with its text."""
        files = [self.path / "origin.json", self.path / "metrics.json", *self.path.glob("*.txt")]
        files += [*self.path.glob("raw/*"), *self.path.glob("right/*")]
        return {str(each.relative_to(self.path)): each.read_text() for each in files if each.exists()}


@pytest.fixture(scope="session")
def new_toy(tmp_path_factory: pytest.TempPathFactory, server: Server) -> Callable[[], Toy]:
    def make() -> Toy:
        toy = Toy(tmp_path_factory.mktemp("toy"), server)
        shutil.copy(HERE / "toy.py", toy.path)
        shutil.copy(HERE / "toy.dvc.yaml", toy.path / "dvc.yaml")
        ignored = ("raw", "origin.json", "left.txt", "right", "joined.txt", "pause", "hold-*")
        (toy.path / ".gitignore").write_text("".join(f"/{name}\n" for name in ignored))
        (toy.path / ".dvc").mkdir()
        for name in ("config", ".gitignore"):
            shutil.copy(ROOT / ".dvc" / name, toy.path / ".dvc")
        toy.set(seed=1)
        toy.pause(0)
        toy.commit("the toy")
        return toy

    return make


@pytest.fixture
def toy(new_toy: Callable[[], Toy]) -> Toy:
    return new_toy()


def states(runs: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {name: run["state_name"] for name, run in runs.items()}


def wait_for_line(process: "subprocess.Popen[str]", part: str) -> str:
    """Read a running flow's output up to a line that contains ``part``; returns what was read."""
    read = ""
    assert process.stdout is not None
    for line in process.stdout:
        read += line
        if part in line:
            return read
    raise AssertionError(read)


def incomplete(toy: Toy) -> list[str]:
    """The outputs that a stage has begun to write."""
    return [name for name, text in toy.outputs().items() if text == "{"]


def leftovers(toy: Toy) -> list[psutil.Process]:
    """Processes of the toy's stages that still run."""
    marked = [
        each
        for each in psutil.process_iter(["environ", "status"])
        if (each.info["environ"] or {}).get(MARK) == str(toy.path)
    ]
    return [each for each in marked if each.info["status"] != psutil.STATUS_ZOMBIE]
