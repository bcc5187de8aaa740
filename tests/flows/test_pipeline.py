"""The flow beside `dvc repro`, on a toy whose stages are short: real Prefect server, real DVC, real git."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from flows.workspace import MARK
from tests.conftest import ROOT
from tests.flows.conftest import Toy, eventually

STAGES = {"fetch", "left", "right", "join"}


def states(runs: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {name: run["state_name"] for name, run in runs.items()}


def message(run: dict[str, Any]) -> str:
    return str(run["state"]["message"])


class TestAsDvcRepro:
    def test_the_same_lock_in_any_number_of_jobs(self, new_toy: Callable[[], Toy]) -> None:
        by_dvc = new_toy()
        by_dvc.run("dvc", "repro")
        for jobs in ("1", "3"):
            by_flow = new_toy()
            output = by_flow.flow("--jobs", jobs)
            assert "4 of 4 stages ran" in output
            assert by_flow.lock() == by_dvc.lock()
            assert by_flow.outputs() == by_dvc.outputs()
            assert "up to date" in by_flow.run("dvc", "status")
            assert "didn't change" in by_flow.run("dvc", "repro")

    def test_nothing_changed_shows_as_cached_with_the_reason(self, toy: Toy) -> None:
        toy.run("dvc", "repro")
        before = (toy.path / "dvc.lock").read_bytes()
        assert "0 of 4 stages ran" in toy.flow()
        runs = toy.server.task_runs(toy.last_run())
        assert states(runs) == dict.fromkeys(STAGES, "Cached")
        assert all("nothing changed" in message(run) for run in runs.values())
        assert (toy.path / "dvc.lock").read_bytes() == before

    def test_before_the_first_commit(self, toy: Toy) -> None:
        shutil.rmtree(toy.path / ".git")
        toy.run("git", "init", "-q")
        assert "4 of 4 stages ran" in toy.flow()

    def test_a_lost_output_comes_back_from_the_run_cache(self, toy: Toy) -> None:
        toy.run("dvc", "repro")
        (toy.path / "left.txt").unlink()
        before = toy.lock()
        toy.flow()
        runs = toy.server.task_runs(toy.last_run())
        assert states(runs)["left"] == "Cached"
        assert "run cache" in message(runs["left"])
        assert toy.lock() == before

    def test_targets_force_and_set(self, toy: Toy) -> None:
        assert "2 of 2 stages ran" in toy.flow("left")
        assert not (toy.path / "joined.txt").exists()
        assert "0 of 2 stages ran" in toy.flow("left")
        assert "2 of 2 stages ran" in toy.flow("left", "--force")
        toy.flow("left", "--set", "seed=5")
        assert "seed: 5" in (toy.path / "params.yaml").read_text()
        assert "its command changed" in message(toy.server.task_runs(toy.last_run())["left"])

    def test_plan_says_what_would_run_and_runs_nothing(self, toy: Toy) -> None:
        assert toy.flow("--plan").count("it has not run yet") == 4
        toy.run("dvc", "repro")
        (toy.path / "left.txt").write_text("changed by hand\n")
        before = toy.outputs(), (toy.path / "params.yaml").read_bytes(), (toy.path / "dvc.lock").read_bytes()
        words = [line.split(maxsplit=2) for line in toy.flow("--plan").splitlines()]
        told = {name: (action, why) for action, name, why in words if action != "may"}
        assert told["fetch"] == ("cached", "nothing changed")
        assert told["left"] == ("run", "left.txt modified (output)")
        assert "may run  join   after left; now left.txt modified" in toy.flow("--plan")
        seeded = toy.flow("--plan", "--set", "seed=9").splitlines()
        assert [line.split()[0] for line in seeded] == ["run"] * 4
        assert all("its command changed" in line for line in seeded)
        after = toy.outputs(), (toy.path / "params.yaml").read_bytes(), (toy.path / "dvc.lock").read_bytes()
        assert after == before


@pytest.fixture(scope="module")
def ran(new_toy: Callable[[], Toy]) -> tuple[Toy, dict[str, Any]]:
    """A toy after one run from nothing, and that run."""
    toy = new_toy()
    toy.set(pause=1)
    toy.flow()
    return toy, toy.last_run()


class TestWhatPrefectShows:
    def test_dependencies_are_dvcs(self, ran: tuple[Toy, dict[str, Any]]) -> None:
        runs = ran[0].server.task_runs(ran[1])
        ids = {run["id"]: name for name, run in runs.items()}
        needs = {
            name: {ids[each["id"]] for each in run["task_inputs"].get("wait_for", [])}
            for name, run in runs.items()
        }
        assert needs == {"fetch": set(), "left": {"fetch"}, "right": {"fetch"}, "join": {"left", "right"}}

    def test_independent_stages_run_side_by_side(self, ran: tuple[Toy, dict[str, Any]]) -> None:
        runs = ran[0].server.task_runs(ran[1])
        left, right = runs["left"], runs["right"]
        assert left["start_time"] < right["end_time"]
        assert right["start_time"] < left["end_time"]
        assert runs["join"]["start_time"] > max(left["end_time"], right["end_time"])

    def test_output_streams_into_the_task_s_log(self, ran: tuple[Toy, dict[str, Any]]) -> None:
        run = ran[0].server.task_runs(ran[1])["right"]

        def logged() -> list[dict[str, Any]]:
            wanted = {"task_run_id": {"any_": [run["id"]]}}
            lines: list[dict[str, Any]] = ran[0].server.post(
                "/logs/filter", logs=wanted, sort="TIMESTAMP_ASC"
            )
            return [line for line in lines if line["message"] == "right is done"] and lines

        lines = eventually(logged)
        said = [line["message"] for line in lines]
        assert "> python toy.py right 1 1" in said
        first, last = said.index("right: 50%|###| at some speed"), said.index("right is done")
        assert lines[first]["timestamp"] < lines[last]["timestamp"] < run["end_time"]

    def test_artifacts(self, ran: tuple[Toy, dict[str, Any]]) -> None:
        artifacts = ran[0].server.artifacts(ran[1])
        assert artifacts["progress-right"]["data"] == 100
        assert "at some speed" in artifacts["progress-right"]["description"]
        rows = artifacts["stages"]["data"]
        assert {row["stage"] for row in json.loads(rows)} == STAGES
        assert "it has not run yet" in str(rows)


class TestFailure:
    @pytest.fixture
    def failing(self, toy: Toy) -> Toy:
        """``right`` fails, after it has spoilt its own output."""
        toy.run("dvc", "repro")
        script = toy.path / "toy.py"
        fails = '\nif name == "right":\n    print("the last straw")\n    sys.exit(3)\n'
        script.write_text(script.read_text() + fails)
        return toy

    def test_fails_the_flow_skips_what_needs_it_and_leaves_what_stood(self, failing: Toy) -> None:
        before, lock = failing.outputs(), failing.lock()
        output = failing.flow(fails=True)
        assert "pipeline: 1 of 4 stages failed.\nright: " in output
        assert output.rstrip().endswith("the last straw")
        assert "Traceback" not in output
        run = failing.last_run()
        assert run["state_type"] == "FAILED"
        assert "the last straw" in message(run)
        runs = failing.server.task_runs(run)
        assert states(runs) == {
            "fetch": "Completed",
            "left": "Completed",
            "right": "Failed",
            "join": "Skipped",
        }
        assert "the last straw" in message(runs["right"])
        assert message(runs["join"]) == "it needs right"
        assert runs["right"]["run_count"] == 1  # trying again would not help
        assert "right" in str(failing.server.artifacts(run)["stages"]["data"])
        assert failing.outputs() == before
        kept = [each for each in failing.lock() if each.startswith(("  right", "  join"))]
        assert kept == [each for each in lock if each.startswith(("  right", "  join"))]

    def test_what_may_mend_itself_is_tried_again(self, toy: Toy) -> None:
        script = toy.path / "toy.py"
        once = (
            'if name == "left" and not Path("tried").exists():\n'
            f'    Path("tried").touch()\n    print("no network")\n    sys.exit({os.EX_TEMPFAIL})\n'
        )
        script.write_text(script.read_text() + once)
        output = toy.flow()
        assert "no network" in output
        run = toy.server.task_runs(toy.last_run())["left"]
        assert (run["state_name"], run["run_count"]) == ("Completed", 2)


class TestStopping:
    def started(self, toy: Toy, stage: str) -> "subprocess.Popen[str]":
        """A run that is in the middle of ``stage`` now."""
        process = toy.start()
        mark = toy.path / ".dvc/tmp/flows/before" / stage
        eventually(mark.exists)
        time.sleep(0.3)
        return process

    def test_cancelled_at_the_server(self, toy: Toy) -> None:
        toy.run("dvc", "repro")
        before, lock = toy.outputs(), toy.lock()
        toy.set(seed=2, pause=60)
        process = self.started(toy, "fetch")
        run = toy.last_run()
        cancelling = {"type": "CANCELLING", "name": "Cancelling"}
        toy.server.post(f"/flow_runs/{run['id']}/set_state", state=cancelling, force=True)
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 1, output
        assert toy.server.get(f"/flow_runs/{run['id']}")["state_type"] == "CANCELLED"
        assert states(toy.server.task_runs(run)) == {"fetch": "Cancelled"}
        assert (toy.outputs(), toy.lock()) == (before, lock)
        assert not orphans(toy)

    def test_ctrl_c(self, toy: Toy) -> None:
        toy.set(pause=60)
        process = self.started(toy, "fetch")
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 130
        assert output.rstrip().endswith("pipeline: stopped; the stages that ran are as they were before")
        assert toy.outputs() == {}
        assert not orphans(toy)

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
    def test_killed_at_random_moments_ends_in_the_same_lock(
        self, new_toy: Callable[[], Toy], number: signal.Signals
    ) -> None:
        toy, undisturbed = new_toy(), new_toy()
        chance, landed, kills = random.Random(number), 0, int(os.environ.get("KILLS", "10"))
        for seed in range(kills):
            for each in (toy, undisturbed):
                each.set(seed=100 + seed, pause=0.6)
            undisturbed.run("dvc", "repro")
            process = self.started(toy, "fetch")
            time.sleep(chance.uniform(0, 1.8))
            landed += process.poll() is None
            process.send_signal(number)
            output, _ = process.communicate(timeout=60)
            again = toy.flow()
            assert toy.lock() == undisturbed.lock(), output + again
            assert toy.outputs() == undisturbed.outputs()
            assert "up to date" in toy.run("dvc", "status")
            assert not orphans(toy)
        assert landed > kills / 2

    def test_a_killed_run_is_closed_by_the_next(self, toy: Toy) -> None:
        toy.set(pause=60)
        process = self.started(toy, "fetch")
        dead = toy.last_run()
        process.kill()
        process.communicate()
        assert orphans(toy)
        toy.set()
        output = toy.flow()
        assert "which a killed run left behind" in output
        assert "putting back the outputs of fetch" in output
        assert toy.server.get(f"/flow_runs/{dead['id']}")["state_type"] == "CRASHED"
        assert not orphans(toy)

    def test_what_was_made_good_since_a_kill_stays(self, toy: Toy) -> None:
        toy.set(pause=2)
        process = self.started(toy, "fetch")
        process.kill()
        process.communicate()
        for orphan in orphans(toy):
            orphan.kill()
        toy.run("dvc", "repro")
        before = toy.outputs()
        toy.flow("--plan")
        output = toy.flow()
        assert "putting back" not in output
        assert "0 of 4 stages ran" in output
        assert toy.outputs() == before

    def test_a_snapshot_half_taken_or_half_gone_is_none(self, toy: Toy) -> None:
        toy.run("dvc", "repro")
        before = toy.outputs()
        for name in (".left.gone", ".right.part"):
            folder = toy.path / ".dvc/tmp/flows/before" / name
            folder.mkdir(parents=True)
            (folder / "0").write_text("old\n")
        assert "0 of 4 stages ran" in toy.flow()
        assert toy.outputs() == before
        assert list((toy.path / ".dvc/tmp/flows/before").iterdir()) == []

    def test_half_a_table_of_dvc_s_is_mended(self, toy: Toy) -> None:
        (toy.path / ".dvc/tmp").mkdir()
        (toy.path / ".dvc/tmp/rwlock").write_text('{"write": {"/so')
        assert "4 of 4 stages ran" in toy.flow()


def orphans(toy: Toy) -> list[psutil.Process]:
    """Processes of the toy's stages that still run."""
    marked = [
        each
        for each in psutil.process_iter(["environ", "status"])
        if (each.info["environ"] or {}).get(MARK) == str(toy.path)
    ]
    return [each for each in marked if each.info["status"] != psutil.STATUS_ZOMBIE]


class TestWaiting:
    def test_two_runs_one_after_the_other(self, toy: Toy) -> None:
        toy.set(pause=3)
        first = toy.start()
        eventually((toy.path / ".dvc/tmp/flows/before/fetch").exists)
        name = toy.last_run()["name"]
        second = toy.flow()
        output, _ = first.communicate(timeout=120)
        assert first.returncode == 0, output
        assert f"waiting for the run {name} (process {first.pid} on" in second
        assert "0 of 4 stages ran" in second

    def test_for_dvc_s_own_lock_and_for_a_dvc_repro(self, toy: Toy) -> None:
        toy.set(pause=4)
        dvc = subprocess.Popen(
            ["dvc", "repro"], cwd=toy.path, env=toy.server.environment, stdout=subprocess.PIPE, text=True
        )
        eventually((toy.path / "raw").exists)
        output = toy.flow()
        dvc.communicate(timeout=60)
        assert f"waiting for (PID {dvc.pid})" in output
        assert "up to date" in toy.run("dvc", "status")

        holder = (
            "import zc.lockfile, time; lock = zc.lockfile.LockFile('.dvc/tmp/lock'); print(); time.sleep(8)"
        )
        held = subprocess.Popen([sys.executable, "-c", holder], cwd=toy.path, stdout=subprocess.PIPE)
        assert held.stdout is not None
        held.stdout.readline()
        assert f"waiting for process {held.pid}: " in toy.flow()
        held.wait()

    def test_another_dvc_keeps_away_from_outputs_in_the_making(self, toy: Toy) -> None:
        toy.set(pause=5)
        flow = toy.start()
        eventually((toy.path / "raw").exists)
        assert "is busy, it is being blocked by" in toy.run("dvc", "repro", fails=True)
        output, _ = flow.communicate(timeout=120)
        assert flow.returncode == 0, output


class TestPublishing:
    @pytest.fixture
    def published(self, toy: Toy) -> Toy:
        toy.flow("--commit-to", "nightly")
        return toy

    def git(self, toy: Toy, *words: str) -> str:
        return toy.run("git", *words).strip()

    def test_commit_on_another_branch(self, published: Toy) -> None:
        assert self.git(published, "rev-parse", "--abbrev-ref", "HEAD") == "main"
        changed = self.git(published, "diff", "--name-only", "main", "nightly").splitlines()
        assert changed == ["dvc.lock", "metrics.json"]
        assert self.git(published, "rev-parse", "nightly^@") == self.git(published, "rev-parse", "main")
        assert (
            self.git(published, "show", "nightly:dvc.lock")
            == (published.path / "dvc.lock").read_text().strip()
        )
        assert published.last_run()["name"] in self.git(published, "log", "-1", "--format=%s", "nightly")

    def test_the_next_night_builds_on_the_last(self, published: Toy) -> None:
        first = self.git(published, "rev-parse", "nightly")
        assert "nightly has these results already" in published.flow("--commit-to", "nightly")
        assert self.git(published, "rev-parse", "nightly") == first
        published.set(seed=2)
        self.git(published, "commit", "-qm", "another seed", "params.yaml")
        published.flow("--commit-to", "nightly")
        parents = self.git(published, "rev-parse", "nightly^@").split()
        assert parents == [first, self.git(published, "rev-parse", "main")]
        assert "seed: 2" in self.git(published, "show", "nightly:params.yaml")

    def test_commit_on_the_branch_that_is_checked_out(self, toy: Toy) -> None:
        toy.flow("--commit-to", "main")
        assert self.git(toy, "status", "--porcelain") == ""
        assert self.git(toy, "show", "--name-only", "--format=", "HEAD").splitlines() == [
            "dvc.lock",
            "metrics.json",
        ]

    def test_with_changed_params_these_are_committed_too(self, toy: Toy) -> None:
        toy.flow("--commit-to", "nightly", "--set", "seed=7")
        assert "seed: 7" in self.git(toy, "show", "nightly:params.yaml")

    def test_not_where_head_moved_during_the_run(self, toy: Toy) -> None:
        toy.set(pause=3)
        self.git(toy, "commit", "-qam", "slower")
        flow = toy.start("--commit-to", "nightly")
        eventually((toy.path / "raw").exists)
        self.git(toy, "commit", "-q", "--allow-empty", "-m", "meanwhile")
        output, _ = flow.communicate(timeout=120)
        assert flow.returncode == 1
        assert "HEAD moved away from" in output
        assert "nightly" not in self.git(toy, "branch")

    def test_a_name_that_no_branch_can_have_is_told_before_anything_runs(self, toy: Toy) -> None:
        assert "'a b' cannot be the name of a branch" in toy.flow("--commit-to", "a b", fails=True)
        assert not toy.outputs()

    @pytest.mark.parametrize("file", ["toy.py", "new.py"])
    def test_never_on_a_dirty_tree(self, toy: Toy, file: str) -> None:
        with (toy.path / file).open("a") as changed:
            changed.write("# changed\n")
        output = toy.flow("--commit-to", "nightly", fails=True)
        assert f"changes that are not committed ({file})" in output
        assert not toy.outputs()  # nothing ran
        assert "nightly" not in self.git(toy, "branch")

    def test_push_where_a_remote_is_configured(self, toy: Toy, tmp_path: Path) -> None:
        assert "no DVC remote is configured" in toy.flow("--push")
        toy.run("dvc", "remote", "add", "--default", "store", str(tmp_path / "store"))
        assert re.search(r"sent [1-9]\d* files to the remote store", toy.flow("--push"))
        shutil.rmtree(toy.path / ".dvc/cache")
        shutil.rmtree(toy.path / "right")
        toy.run("dvc", "pull")
        assert (toy.path / "right/2.txt").exists()


class TestBadInput:
    def says(self, output: str, *parts: str) -> None:
        """One or two lines, and no traceback, once Prefect's own lines are left out."""
        lines = [line for line in output.splitlines() if " | " not in line and "Temporary" not in line]
        assert 1 <= len(lines) <= 2, output
        for part in parts:
            assert part in output

    def test_not_a_project(self, toy: Toy) -> None:
        shutil.rmtree(toy.path / ".dvc")
        self.says(toy.flow(fails=True), "there is no DVC project in", "run from the project's root")
        self.says(toy.flow("--plan", fails=True), "there is no DVC project in")
        assert not (toy.path / ".dvc").exists()

    def test_no_git_and_no_dvc_yaml(self, toy: Toy) -> None:
        (toy.path / "dvc.yaml").unlink()
        self.says(toy.flow("--plan", fails=True), "there is no dvc.yaml in")
        shutil.rmtree(toy.path / ".git")
        self.says(toy.flow("--plan", fails=True), "is not a git repository")

    def test_a_dvc_yaml_that_makes_no_graph(self, toy: Toy) -> None:
        with (toy.path / "dvc.yaml").open("a") as file:
            file.write("  again:\n    cmd: echo\n    outs: [left.txt]\n")
        self.says(toy.flow("--plan", fails=True), "left.txt", "again")

    def test_an_unknown_stage(self, toy: Toy) -> None:
        self.says(
            toy.flow("lefd", "--plan", fails=True), "dvc.yaml has no stage 'lefd'; did you mean 'left'?"
        )
        before = (toy.path / "params.yaml").read_bytes()
        output = toy.flow("lefd", "--set", "seed=5", fails=True)
        assert "Traceback" not in output
        assert "did you mean 'left'?" in output
        assert (toy.path / "params.yaml").read_bytes() == before

    @pytest.mark.parametrize("change", ["seed", "seed=[1", "sead=1"])
    def test_a_change_that_is_none(self, toy: Toy, change: str) -> None:
        before = (toy.path / "params.yaml").read_bytes()
        self.says(toy.flow("--plan", "--set", change, fails=True), change.partition("=")[0])
        assert (toy.path / "params.yaml").read_bytes() == before

    def test_jobs(self, toy: Toy) -> None:
        assert "--jobs must be at least 1" in toy.flow("--jobs", "0", fails=True)

    def test_a_server_that_does_not_answer(self, toy: Toy) -> None:
        output = toy.flow(fails=True, PREFECT_API_URL="http://127.0.0.1:9/api")
        self.says(output, "http://127.0.0.1:9/api does not answer", "prefect server start")


def test_without_a_server_it_brings_its_own(toy: Toy, tmp_path: Path) -> None:
    environment = {key: value for key, value in toy.server.environment.items() if key != "PREFECT_API_URL"}
    done = subprocess.run(
        [sys.executable, "-m", "flows.pipeline"],
        cwd=toy.path,
        env={**environment, "PYTHONPATH": str(ROOT), "PREFECT_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "4 of 4 stages ran" in done.stdout
    assert "Starting temporary server on http://127.0.0.1" in done.stderr


def test_starts_without_torch() -> None:
    code = "import sys, flows.pipeline; sys.exit('torch' in sys.modules or 'torchvision' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
