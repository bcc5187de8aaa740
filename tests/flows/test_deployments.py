"""prefect.yaml on a real server, with a real work pool, worker and browser, on the synthetic sample."""

import io
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import psutil
import pytest
from PIL import Image
from playwright.sync_api import Browser, expect
from ruamel.yaml import YAML

from tests.conftest import Workspace
from tests.flows.conftest import Server, eventually

POOL = "pets"
METRICS = "evaluations/sample/efficientnet_lite0/prototype/metrics.json"
ENDED = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


@dataclass
class Deployed:
    """A workspace with its deployments on a server, and the worker that runs them."""

    workspace: Workspace
    server: Server
    worker: "subprocess.Popen[bytes]"
    elsewhere: Path

    def prefect(self, *words: str) -> str:
        """Run a command of Prefect in the workspace."""
        done = subprocess.run(
            ["prefect", *words],
            cwd=self.workspace.path,
            env=self.server.environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    def start_worker(self) -> None:
        """Start a worker in a folder and a process group of its own."""
        with (self.elsewhere / "worker.log").open("ab") as log:
            self.worker = subprocess.Popen(
                ["prefect", "worker", "start", "--pool", POOL],
                cwd=self.elsewhere,
                env={**self.server.environment, "PREFECT_WORKER_QUERY_SECONDS": "1"},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def kill_worker(self) -> None:
        """Kill everything but the processes of stages, which the next run must find and stop."""
        family = [psutil.Process(self.worker.pid), *psutil.Process(self.worker.pid).children(recursive=True)]
        for process in family:
            if "stages." not in " ".join(process.cmdline()):
                process.kill()
        self.worker.wait()

    def trigger(self, deployment: str, **parameters: Any) -> dict[str, Any]:
        """Start a run of a deployment."""
        found = self.server.get(f"/deployments/name/{deployment}")
        run: dict[str, Any] = self.server.post(
            f"/deployments/{found['id']}/create_flow_run",
            state={"type": "SCHEDULED"},
            parameters=parameters,
            idempotency_key=str(uuid4()),  # one run, however often the request is sent
        )
        return run

    def ended(self, run: dict[str, Any], seconds: float = 240) -> dict[str, Any]:
        """The run, once it has ended."""

        def look() -> dict[str, Any] | None:
            now: dict[str, Any] = self.server.get(f"/flow_runs/{run['id']}")
            return now if now["state_type"] in ENDED else None

        found: dict[str, Any] = eventually(look, seconds)
        return found


@pytest.fixture(scope="module")
def deployed(
    finished: Workspace, server: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployed]:
    workspace = finished.copy(tmp_path_factory.mktemp("deployed") / "workspace")
    workspace.set_params("run.heads=[prototype]")
    workspace.run("dvc", "repro")
    workspace.commit("one head, and its results")
    pool = Deployed(workspace, server, None, tmp_path_factory.mktemp("elsewhere"))  # type: ignore[arg-type]
    pool.prefect("work-pool", "create", POOL, "--type", "process")
    pool.prefect("--no-prompt", "deploy", "--all")
    pool.start_worker()
    yield pool
    os.killpg(pool.worker.pid, signal.SIGTERM)
    pool.worker.wait(30)
    for each in server.post("/deployments/filter"):
        server.ask("DELETE", f"/deployments/{each['id']}")


def test_two_at_once_run_one_after_the_other_and_each_is_compared(deployed: Deployed) -> None:
    runs = [deployed.ended(run) for run in [deployed.trigger("pipeline/nightly") for _ in "12"]]
    first, second = sorted(runs, key=lambda run: str(run["start_time"]))
    assert {first["state_type"], second["state_type"]} == {"COMPLETED"}
    assert first["end_time"] <= second["start_time"]
    assert "0 of " in second["state"]["message"]
    logged = deployed.server.post("/logs/filter", logs={"flow_run_id": {"any_": [first["id"]]}}, limit=200)
    assert any("no DVC remote is configured" in line["message"] for line in logged)

    def compared() -> list[dict[str, Any]] | None:
        found = deployed.server.post("/flow_runs/filter", flows={"name": {"any_": ["compare"]}})
        return found if len(found) == 2 and all(run["state_type"] in ENDED for run in found) else None

    for run in eventually(compared):
        assert run["state_type"] == "COMPLETED", run["state"]["message"]
        assert "no more than chance" in deployed.server.artifacts(run)["comparison"]["data"]


def test_a_folder_is_predicted_and_an_empty_one_is_an_error_of_one_line(deployed: Deployed) -> None:
    inbox = deployed.workspace.path / "inbox"
    inbox.mkdir()
    run = deployed.ended(deployed.trigger("predict/inbox"))
    assert (run["state_type"], run["state"]["message"][:26]) == ("FAILED", "predict: no picture (.jpg,")
    picture = next((deployed.workspace.path / "data/sample/raw/images").glob("pug_*.jpg"))
    (inbox / "new.jpg").write_bytes(picture.read_bytes())
    run = deployed.ended(deployed.trigger("predict/inbox"))
    assert run["state_type"] == "COMPLETED", run["state"]["message"]
    [row] = json.loads(deployed.server.artifacts(run)["predictions"]["data"])
    assert (Path(row["path"]).name, row["problem"]) == ("new.jpg", None)
    assert 0 < row["probability"] <= 1


def test_a_scheduled_run_finishes(deployed: Deployed) -> None:
    nightly = deployed.server.get("/deployments/name/pipeline/nightly")
    [schedule] = nightly["schedules"]
    assert (schedule["schedule"]["cron"], schedule["schedule"]["timezone"]) == ("30 2 * * *", "Europe/Berlin")
    address = f"/deployments/{nightly['id']}/schedules/{schedule['id']}"
    soon = {"schedule": {"interval": 20, "timezone": "Europe/Berlin"}}
    deployed.server.ask("PATCH", address, soon)

    def scheduled() -> dict[str, Any] | None:
        runs = deployed.server.flow_runs(deployment_id={"any_": [nightly["id"]]})
        done = [run for run in runs if run["auto_scheduled"] and run["state_type"] in ENDED]
        return done[0] if done else None

    run = eventually(scheduled, 240)
    deployed.server.ask("PATCH", address, {"active": False})
    assert run["state_type"] == "COMPLETED", run["state"]["message"]

    def all_ended() -> bool:
        runs = deployed.server.flow_runs(deployment_id={"any_": [nightly["id"]]})
        return all(run["state_type"] in ENDED for run in runs)

    eventually(all_ended, 240)  # one that had begun would be killed with the worker of the next test


def test_after_a_killed_worker_the_next_run_recovers(deployed: Deployed) -> None:
    lock = _locked(deployed.workspace)
    forced: dict[str, Any] = {"targets": ["evaluate"], "force": True}
    dead = deployed.trigger("pipeline/on-demand", **forced)
    eventually((deployed.workspace.path / ".dvc/tmp/flows/before/embed@sample-efficientnet_lite0").exists)
    deployed.kill_worker()
    assert deployed.server.get(f"/flow_runs/{dead['id']}")["state_type"] == "RUNNING"  # for all it knows
    deployed.start_worker()
    # Of another deployment: in its own, the killed run counts for five minutes, or until a run notices.
    run = deployed.ended(deployed.trigger("pipeline/nightly"))
    assert run["state_type"] == "COMPLETED", run["state"]["message"]
    assert deployed.server.get(f"/flow_runs/{dead['id']}")["state_type"] == "CRASHED"
    again = deployed.ended(deployed.trigger("pipeline/on-demand", **forced))
    assert again["state_type"] == "COMPLETED", again["state"]["message"]
    assert _locked(deployed.workspace) == lock
    assert "up to date" in deployed.workspace.run("dvc", "status")


def _locked(workspace: Workspace) -> dict[str, Any]:
    stages: dict[str, Any] = YAML(typ="safe").load(workspace.path / "dvc.lock")["stages"]
    return stages


def test_prefect_s_own_pages_show_the_run(deployed: Deployed, browser: Browser) -> None:
    run = deployed.ended(deployed.trigger("pipeline/on-demand"))
    artifacts = deployed.server.artifacts(run)
    page = browser.new_page(viewport={"width": 1500, "height": 1000})
    page.goto(f"{deployed.server.url}/runs/flow-run/{run['id']}")
    graph = page.locator("canvas").first
    graph.wait_for()
    page.get_by_text("Task Runs", exact=True).click()
    for stage in ("download@sample", "embed@sample-efficientnet_lite0", "report"):
        expect(page.get_by_text(stage, exact=True).first).to_be_visible()
    green = eventually(lambda: _green_pixels(graph.screenshot()), 60)  # a bar for each completed stage
    assert green > 500

    page.goto(f"{deployed.server.url}/artifacts/artifact/{artifacts['metrics']['id']}")
    top1 = json.loads((deployed.workspace.path / METRICS).read_text())["top1"]
    expect(page.get_by_text(f"{top1:.4f} ({top1:.4f})").first).to_be_visible()
    expect(page.get_by_text("sample (synthetic)").first).to_be_visible()

    gallery = artifacts["evaluate-sample-efficientnet-lite0-prototype-mistakes"]
    page.goto(f"{deployed.server.url}/artifacts/artifact/{gallery['id']}")
    expect(page.get_by_text("synthetic, drawn by a program, not photographs").first).to_be_visible()
    picture = page.locator("img[src^='data:image/jpeg']")
    picture.wait_for()
    assert picture.evaluate("image => image.naturalWidth") > 128
    page.close()


def _green_pixels(png: bytes) -> int:
    red, green, blue = np.moveaxis(np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), dtype=int), 2, 0)
    return int(((green > 120) & (green > red + 60) & (green > blue + 40)).sum())
