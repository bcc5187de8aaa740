"""prefect.yaml on a real server, with a real work pool, worker and browser, on the synthetic sample."""

import io
import json
import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import psutil
import pytest
from PIL import Image
from playwright.sync_api import Browser, expect
from ruamel.yaml import YAML

from tests.conftest import ROOT, Workspace
from tests.flows.conftest import Server, eventually

POOL = "pets"
METRICS = "evaluations/sample/efficientnet_lite0/prototype/metrics.json"
COMPARE = ("python", "-m", "flows.compare", "nightly~1", "nightly")  # of docs/schedules.md
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

    def follow_with_history(self, enabled: bool) -> None:
        """Let the history follow each run, as prefect.yaml has it, or not: a run of it takes seconds."""
        for automation in self.server.post("/automations/filter"):
            if automation["name"].startswith("history"):
                self.server.ask("PATCH", f"/automations/{automation['id']}", {"enabled": enabled})

    def comparisons(self, count: int) -> list[dict[str, Any]]:
        """The runs of the comparison, the first first, once so many have ended; all well."""

        def look() -> list[dict[str, Any]] | None:
            found = self.server.post("/flow_runs/filter", flows={"name": {"any_": ["compare"]}})
            return found if len(found) == count and all(run["state_type"] in ENDED for run in found) else None

        found = sorted(eventually(look, 900), key=lambda run: str(run["start_time"]))
        assert {run["state_type"] for run in found} == {"COMPLETED"}, [
            run["state"]["message"] for run in found
        ]
        return found

    def history(self, commit: str) -> dict[str, Any]:
        """The run of the history up to a commit, once it has ended."""

        def look() -> dict[str, Any] | None:
            found = self.server.post("/flow_runs/filter", flows={"name": {"any_": ["history"]}})
            up_to = [run for run in found if run["parameters"].get("revisions") == [commit]]
            return up_to[0] if up_to and up_to[0]["state_type"] in ENDED else None

        run: dict[str, Any] = eventually(look, 900)
        return run

    def nights(self) -> list[str]:
        """The commits of the branch, the last first."""
        return self.workspace.run("git", "rev-list", "--first-parent", "main..nightly").split()

    def ended(self, run: dict[str, Any], seconds: float = 900) -> dict[str, Any]:
        """The run, once it has ended."""

        def look() -> dict[str, Any] | None:
            now: dict[str, Any] = self.server.get(f"/flow_runs/{run['id']}")
            return now if now["state_type"] in ENDED else None

        found: dict[str, Any] = eventually(look, seconds)
        return found


def documented(command: str) -> list[str]:
    """The words of a command of docs/schedules.md, which must be there."""
    assert f"\n{command}\n" in (ROOT / "docs/schedules.md").read_text("utf-8")
    return shlex.split(command)[1:]


@pytest.fixture(scope="module")
def deployed(
    finished: Workspace, server: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployed]:
    """As docs/schedules.md has it, in a repository without results, with ``commit_to: nightly``."""
    workspace = finished.copy(tmp_path_factory.mktemp("deployed") / "workspace")
    workspace.set_params("run.heads=[prototype]")
    edited = (workspace.path / "prefect.yaml").read_text().replace("commit_to: null ", "commit_to: nightly ")
    (workspace.path / "prefect.yaml").write_text(edited)
    shutil.rmtree(workspace.path / ".git")
    shutil.rmtree(workspace.path / "evaluations")
    (workspace.path / "dvc.lock").unlink()
    workspace.commit("no results yet")
    pool = Deployed(workspace, server, None, tmp_path_factory.mktemp("elsewhere"))  # type: ignore[arg-type]
    pool.prefect(*documented("prefect work-pool create pets --type process"))
    pool.prefect(*documented("prefect --no-prompt deploy --all"))
    pool.follow_with_history(False)
    pool.start_worker()
    yield pool
    os.killpg(pool.worker.pid, signal.SIGTERM)
    pool.worker.wait(30)
    for each in server.post("/deployments/filter"):
        server.ask("DELETE", f"/deployments/{each['id']}")


def test_nights_are_committed_and_compared_and_none_is_red(deployed: Deployed) -> None:
    """The first by the schedule, two without a change, which wait for each other, and a changed one."""
    nightly = deployed.server.get("/deployments/name/pipeline/nightly")
    [schedule] = nightly["schedules"]
    assert (schedule["schedule"]["cron"], schedule["schedule"]["timezone"]) == ("30 2 * * *", "Europe/Berlin")
    address = f"/deployments/{nightly['id']}/schedules/{schedule['id']}"
    soon = {"schedule": {"interval": 40, "anchor_date": _in(seconds=8), "timezone": "Europe/Berlin"}}
    deployed.server.ask("PATCH", address, soon)

    def begun() -> dict[str, Any] | None:
        runs = deployed.server.flow_runs(deployment_id={"any_": [nightly["id"]]})
        return next((run for run in runs if run["auto_scheduled"] and run["state_type"] != "SCHEDULED"), None)

    first = eventually(begun, 900)
    deployed.server.ask("PATCH", address, {"active": False})  # which takes back the next ones
    first = deployed.ended(first)
    assert first["state_type"] == "COMPLETED", first["state"]["message"]
    [compared] = deployed.comparisons(1)
    assert compared["state"]["message"].startswith("Nothing to compare with yet")
    [tip] = deployed.nights()

    for _ in range(2):
        deployed.prefect(*documented("prefect deployment run pipeline/nightly"))
    *_, again, last = deployed.comparisons(3)
    for run in (again, last):
        assert "no more than chance" in deployed.server.artifacts(run)["comparison"]["data"]
    runs = deployed.server.flow_runs(deployment_id={"any_": [nightly["id"]]}, start_time={"is_null_": False})
    by_start = sorted((each for each in runs if each["start_time"]), key=lambda run: str(run["start_time"]))
    assert [each["state_type"] for each in by_start] == ["COMPLETED"] * 3
    assert by_start[1]["end_time"] <= by_start[2]["start_time"]
    assert "0 of " in by_start[2]["state"]["message"]
    wanted = {"flow_run_id": {"any_": [by_start[2]["id"]]}}
    logged = deployed.server.post("/logs/filter", logs=wanted, limit=200)
    assert any("no DVC remote is configured" in line["message"] for line in logged)
    assert deployed.nights() == [tip]

    deployed.workspace.set_params("train.prototype.centred=[false]")
    deployed.workspace.run("git", "commit", "-qm", "not centred", "params.yaml")
    deployed.follow_with_history(True)
    deployed.prefect(*documented("prefect deployment run pipeline/nightly"))
    *_, changed = deployed.comparisons(4)
    assert changed["state_type"] == "COMPLETED", changed["state"]["message"]
    shown = deployed.server.artifacts(changed)["comparison"]
    assert "train.prototype.centred" in shown["data"]
    new, *earlier = deployed.nights()
    assert earlier == [tip]
    assert f"{tip[:7]} → {new[:7]}" in shown["description"]
    assert "train.prototype.centred" in deployed.workspace.run(*COMPARE)
    history = deployed.history(new)
    deployed.follow_with_history(False)
    assert history["state_type"] == "COMPLETED", history["state"]["message"]
    drawn = deployed.server.artifacts(history)["history"]
    assert f"{tip[:7]}, 1 commit" in drawn["description"]  # the new one has other parameters, but its metrics
    assert "are synthetic, drawn by a program" in drawn["data"]


def _in(seconds: int) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


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
    run = deployed.ended(deployed.trigger("pipeline/on-demand", commit_to="nightly"))  # beside its results
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
