"""The flow compared with `dvc repro`, on a toy project: a real Prefect server, real DVC, real git."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flows.pipeline import main
from tests.conftest import ROOT, stages_run
from tests.flows.conftest import Toy, eventually, states

STAGES = {"fetch", "left", "right", "join"}


def message(run: dict[str, Any]) -> str:
    return str(run["state"]["message"])


def persist(toy: Toy, output: str) -> None:
    """Let dvc.yaml say that an output is updated by its stage."""
    file = toy.path / "dvc.yaml"
    file.write_text(file.read_text().replace(f"outs: [{output}]", f"outs: [{output}: {{persist: true}}]"))


@pytest.fixture
def plan(
    toy: Toy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., str]]:
    """`python -m flows.pipeline --plan`, but without the two seconds that a new process takes to start."""
    monkeypatch.chdir(toy.path)

    def run(*words: str, fails: bool = False) -> str:
        status = main(["--plan", *words])
        output, errors = capsys.readouterr()
        assert (status != 0) == fails, output + errors
        return output + errors

    handler = signal.getsignal(signal.SIGTERM)
    yield run
    signal.signal(signal.SIGTERM, handler)


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

    def test_stages_that_did_not_change_are_cached(self, toy: Toy) -> None:
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

    def test_parameters_changed_and_changed_back_run_nothing(
        self, toy: Toy, plan: Callable[..., str], tmp_path: Path
    ) -> None:
        """In the same folder and in a clone that pulls the run cache, whichever tool ran the stages."""

        def ran(here: Toy, seed: int, by: str) -> set[str]:
            """Reproduce, and return the stages that ran."""
            here.set(seed=seed)
            if by == "dvc":
                return stages_run(here.run("dvc", "repro"))
            here.flow()
            runs = here.server.task_runs(here.last_run())
            restored = [run for run in runs.values() if run["state_name"] == "Cached"]
            assert all(message(run).startswith("restored from DVC's run cache; ") for run in restored)
            return set(runs) - {run["name"] for run in restored}

        toy.run("dvc", "remote", "add", "--default", "store", str(tmp_path / "store"))
        made = {}
        for seed, by in ((1, "flow"), (2, "dvc")):
            assert ran(toy, seed, by) == STAGES
            made[seed] = toy.lock(), toy.outputs()
            toy.commit(f"with the seed {seed}")
        toy.set(seed=1)
        *lines, total = plan().splitlines()
        assert [line.split()[0] for line in lines] == ["restore", "may", "may", "may"]
        assert total == "pipeline: of 4 stages: 1 restore, 3 may run"
        for seed, by in ((1, "flow"), (2, "dvc")):
            assert ran(toy, seed, by) == set()
            assert (toy.lock(), toy.outputs()) == made[seed]

        toy.run("dvc", "push", "--run-cache", "--all-commits")
        toy.run("git", "clone", "-q", ".", str(tmp_path / "clone"))
        clone = Toy(tmp_path / "clone", toy.server)
        clone.pause(0)
        clone.run("dvc", "pull", "--run-cache", "--all-commits")
        for seed, by in ((1, "dvc"), (2, "flow"), (1, "dvc")):
            assert ran(clone, seed, by) == set()
            assert (clone.lock(), clone.outputs()) == made[seed]

    def test_an_output_that_its_stage_updates_is_left_in_place(self, toy: Toy) -> None:
        """`persist: true`, as for the embeddings: DVC and the flow don't restore it from the run cache."""
        persist(toy, "left.txt")
        script = toy.path / "toy.py"
        updates = 'if name == "left":\n    print("before:", *Path().glob("left.txt"))\n'
        script.write_text(script.read_text().replace("pause = ", f"{updates}pause = ", 1))
        assert " - before:\n" in toy.flow()
        toy.set(seed=2)
        assert " - before: left.txt\n" in toy.flow()
        toy.set(seed=1)
        assert "1 of 4 stages ran" in toy.flow()

    def test_targets_force_and_set(self, toy: Toy) -> None:
        assert "2 of 2 stages ran" in toy.flow("left")
        assert not (toy.path / "joined.txt").exists()
        assert "0 of 2 stages ran" in toy.flow("left")
        assert "2 of 2 stages ran" in toy.flow("left", "--force")
        toy.flow("left", "--set", "seed=5")
        assert "seed: 5" in (toy.path / "params.yaml").read_text()
        assert "its command changed" in message(toy.server.task_runs(toy.last_run())["left"])

    def test_plan_says_what_would_run_and_runs_nothing(self, toy: Toy, plan: Callable[..., str]) -> None:
        assert toy.flow("--plan").count("it has not run yet") == 4
        toy.run("dvc", "repro")
        (toy.path / "left.txt").write_text("changed by hand\n")
        before = toy.outputs(), (toy.path / "params.yaml").read_bytes(), (toy.path / "dvc.lock").read_bytes()
        words = [line.split(maxsplit=2) for line in plan().splitlines()[:-1]]
        planned = {name: (action, reason) for action, name, reason in words if action != "may"}
        assert planned["fetch"] == ("cached", "nothing changed")
        assert planned["left"] == ("restore", "left.txt modified (output)")
        assert "may run  join   after left; now left.txt modified" in plan()
        *seeded, _ = plan("--set", "seed=9").splitlines()
        assert [line.split()[0] for line in seeded] == ["run"] * 4
        assert all("its command changed" in line for line in seeded)
        after = toy.outputs(), (toy.path / "params.yaml").read_bytes(), (toy.path / "dvc.lock").read_bytes()
        assert after == before


@pytest.fixture(scope="module")
def ran(new_toy: Callable[[], Toy]) -> tuple[Toy, dict[str, Any]]:
    """A toy after one run from nothing, and that run."""
    toy = new_toy()
    toy.pause(1)
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

    def test_independent_stages_run_at_the_same_time(self, ran: tuple[Toy, dict[str, Any]]) -> None:
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
        messages = [line["message"] for line in lines]
        assert "> python toy.py right 1" in messages
        first, last = messages.index("right: 50%|###| at some speed"), messages.index("right is done")
        assert lines[first]["timestamp"] < lines[last]["timestamp"] < run["end_time"]

    def test_artifacts(self, ran: tuple[Toy, dict[str, Any]]) -> None:
        artifacts = ran[0].server.artifacts(ran[1])
        assert set(artifacts) == {"progress", "stages"}
        assert artifacts["progress"]["data"] == 100
        assert artifacts["progress"]["description"] == "4 of 4 stages have ended."
        rows = artifacts["stages"]["data"]
        assert {row["stage"] for row in json.loads(rows)} == STAGES
        assert "it has not run yet" in str(rows)


class TestFailure:
    @pytest.fixture(params=["deleted", "persisted"])
    def failing(self, toy: Toy, request: pytest.FixtureRequest) -> Toy:
        """``right`` fails once it has overwritten its output, which DVC deleted before, or left in place."""
        if request.param == "persisted":
            persist(toy, "right")
        toy.run("dvc", "repro")
        script = toy.path / "toy.py"
        fails = '\nif name == "right":\n    print("the last straw")\n    sys.exit(3)\n'
        script.write_text(script.read_text() + fails)
        return toy

    def test_fails_the_flow_skips_what_needs_it_and_keeps_the_earlier_outputs(self, failing: Toy) -> None:
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

    def test_a_temporary_error_is_tried_again(self, toy: Toy) -> None:
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


class TestBadInput:
    def check(self, output: str, *parts: str) -> None:
        """Besides Prefect's own lines it is one or two lines, with ``parts`` in them, and no traceback."""
        lines = [line for line in output.splitlines() if " | " not in line and "Temporary" not in line]
        assert 1 <= len(lines) <= 2, output
        for part in parts:
            assert part in output

    def test_not_a_project(self, toy: Toy, plan: Callable[..., str]) -> None:
        shutil.rmtree(toy.path / ".dvc")
        self.check(toy.flow(fails=True), "there is no DVC project in", "run from the project's root")
        self.check(plan(fails=True), "there is no DVC project in")
        assert not (toy.path / ".dvc").exists()

    def test_no_git_and_no_dvc_yaml(self, toy: Toy, plan: Callable[..., str]) -> None:
        (toy.path / "dvc.yaml").unlink()
        self.check(plan(fails=True), "there is no dvc.yaml in")
        shutil.rmtree(toy.path / ".git")
        self.check(plan(fails=True), "is not a git repository")

    def test_a_dvc_yaml_that_makes_no_graph(self, toy: Toy, plan: Callable[..., str]) -> None:
        with (toy.path / "dvc.yaml").open("a") as file:
            file.write("  again:\n    cmd: echo\n    outs: [left.txt]\n")
        self.check(plan(fails=True), "left.txt", "again")

    def test_an_unknown_stage(self, toy: Toy, plan: Callable[..., str]) -> None:
        self.check(plan("lefd", fails=True), "dvc.yaml has no stage 'lefd'; did you mean 'left'?")
        before = (toy.path / "params.yaml").read_bytes()
        output = toy.flow("lefd", "--set", "seed=5", fails=True)
        assert "Traceback" not in output
        assert "did you mean 'left'?" in output
        assert (toy.path / "params.yaml").read_bytes() == before

    @pytest.mark.parametrize("change", ["seed", "seed=[1", "sead=1"])
    def test_an_invalid_change(self, toy: Toy, plan: Callable[..., str], change: str) -> None:
        before = (toy.path / "params.yaml").read_bytes()
        self.check(plan("--set", change, fails=True), change.partition("=")[0])
        assert (toy.path / "params.yaml").read_bytes() == before

    def test_jobs(self, toy: Toy) -> None:
        assert "--jobs must be at least 1" in toy.flow("--jobs", "0", fails=True)

    def test_a_server_that_does_not_answer(self, toy: Toy) -> None:
        output = toy.flow(fails=True, PREFECT_API_URL="http://127.0.0.1:9/api")
        self.check(output, "http://127.0.0.1:9/api does not answer", "prefect server start")


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


def test_starts_without_what_it_does_not_need() -> None:
    heavy = {"torch", "torchvision", "pandas", "pyarrow", "scipy", "statsmodels", "matplotlib", "sklearn"}
    code = f"import sys, flows.pipeline; assert not (loaded := {heavy} & set(sys.modules)), loaded"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
