"""Runs of the flow that are cancelled, interrupted or killed, and runs that wait for others."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from threading import Lock

import pytest

from tests.flows.conftest import Toy, eventually, incomplete, leftovers, states, wait_for_line


@pytest.fixture(scope="module")
def undisturbed(new_toy: Callable[[], Toy]) -> Callable[[int], tuple[list[str], dict[str, str]]]:
    """The lock and the outputs that `dvc repro` makes with a seed."""
    toy, one_at_a_time = new_toy(), Lock()

    @cache
    def reproduced(seed: int) -> tuple[list[str], dict[str, str]]:
        toy.set(seed=seed)
        toy.run("dvc", "repro")
        return toy.lock(), toy.outputs()

    def reproduce(seed: int) -> tuple[list[str], dict[str, str]]:
        with one_at_a_time:
            return reproduced(seed)

    return reproduce


class TestStopping:
    def started(self, toy: Toy, stage: str) -> "subprocess.Popen[str]":
        """A run that is in the middle of ``stage``."""
        toy.hold(stage)
        process = toy.start()
        eventually(lambda: process.poll() is not None or incomplete(toy))
        assert process.poll() is None, process.communicate()
        return process

    def test_cancelled_at_the_server(self, toy: Toy) -> None:
        toy.run("dvc", "repro")
        before, lock = toy.outputs(), toy.lock()
        toy.set(seed=2)
        process = self.started(toy, "fetch")
        run = toy.last_run()
        cancelling = {"type": "CANCELLING", "name": "Cancelling"}
        toy.server.post(f"/flow_runs/{run['id']}/set_state", state=cancelling, force=True)
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 1, output
        assert toy.server.get(f"/flow_runs/{run['id']}")["state_type"] == "CANCELLED"
        assert states(toy.server.task_runs(run)) == {"fetch": "Cancelled"}
        assert (toy.outputs(), toy.lock()) == (before, lock)
        assert not leftovers(toy)

    def test_ctrl_c(self, toy: Toy) -> None:
        process = self.started(toy, "fetch")
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 130
        assert output.rstrip().endswith(
            "pipeline: stopped; the outputs of the stages that were running are unchanged"
        )
        assert toy.outputs() == {}
        assert not leftovers(toy)

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
    def test_killed_at_random_moments_ends_in_the_same_lock(
        self,
        new_toy: Callable[[], Toy],
        undisturbed: Callable[[int], tuple[list[str], dict[str, str]]],
        number: signal.Signals,
    ) -> None:
        kills, at_once = int(os.environ.get("KILLS", "4")), 2

        def kill(toy: Toy, first: int) -> int:
            """Kill every second run, beginning with ``first``; returns how many kills met a live run."""
            chance, met = random.Random(1000 * number + first), 0
            for seed in range(first, kills, at_once):
                toy.set(seed=100 + seed)
                process = toy.start()
                eventually((toy.path / ".dvc/tmp/flows/before/fetch").exists)
                time.sleep(chance.uniform(0, 1.8))
                met += process.poll() is None
                process.send_signal(number)
                output, _ = process.communicate(timeout=60)
                again = toy.flow()
                assert (toy.lock(), toy.outputs()) == undisturbed(100 + seed), output + again
                assert "up to date" in toy.run("dvc", "status")
                assert not leftovers(toy)
            return met

        toys = [new_toy() for _ in range(at_once)]
        for toy in toys:
            toy.pause(0.6)
        with ThreadPoolExecutor(at_once) as pool:  # most of the time is spent waiting
            assert sum(pool.map(kill, toys, range(at_once))) > kills / 2

    def test_a_killed_run_is_closed_by_the_next(self, toy: Toy) -> None:
        process = self.started(toy, "fetch")
        dead = toy.last_run()
        process.kill()
        process.communicate()
        assert leftovers(toy)
        flow = toy.start()
        read = wait_for_line(flow, "restoring the outputs of fetch: a run was killed in it")
        assert "left running by a killed run" in read
        toy.release("fetch")
        output, _ = flow.communicate(timeout=60)
        assert flow.returncode == 0, output
        assert toy.server.get(f"/flow_runs/{dead['id']}")["state_type"] == "CRASHED"
        assert not leftovers(toy)

    def test_outputs_made_again_since_a_kill_are_kept(self, toy: Toy) -> None:
        process = self.started(toy, "fetch")
        process.kill()
        process.communicate()
        for leftover in leftovers(toy):
            leftover.kill()
        toy.release("fetch")
        toy.run("dvc", "repro")
        before = toy.outputs()
        toy.flow("--plan")
        output = toy.flow()
        assert "restoring" not in output
        assert "0 of 4 stages ran" in output
        assert toy.outputs() == before

    def test_an_incomplete_snapshot_is_not_restored(self, toy: Toy) -> None:
        toy.run("dvc", "repro")
        before = toy.outputs()
        for name in (".left.gone", ".right.part"):
            folder = toy.path / ".dvc/tmp/flows/before" / name
            folder.mkdir(parents=True)
            (folder / "0").write_text("old\n")
        assert "0 of 4 stages ran" in toy.flow()
        assert toy.outputs() == before
        assert list((toy.path / ".dvc/tmp/flows/before").iterdir()) == []

    def test_a_truncated_table_of_dvc_locks_is_repaired(self, toy: Toy) -> None:
        (toy.path / ".dvc/tmp").mkdir()
        (toy.path / ".dvc/tmp/rwlock").write_text('{"write": {"/so')
        assert "4 of 4 stages ran" in toy.flow()


class TestWaiting:
    def test_two_runs_one_after_the_other(self, toy: Toy) -> None:
        toy.hold("fetch")
        first = toy.start()
        eventually(lambda: incomplete(toy))
        name = toy.last_run()["name"]
        second = toy.start()
        wait_for_line(second, f"waiting for the run {name} (process {first.pid} on")
        toy.release("fetch")
        output, _ = first.communicate(timeout=120)
        assert first.returncode == 0, output
        output, _ = second.communicate(timeout=120)
        assert "0 of 4 stages ran" in output

    def test_for_dvc_s_own_lock_and_for_a_dvc_repro(self, toy: Toy) -> None:
        toy.hold("fetch")
        dvc = subprocess.Popen(
            ["dvc", "repro"], cwd=toy.path, env=toy.server.environment, stdout=subprocess.PIPE, text=True
        )
        eventually(lambda: incomplete(toy))
        flow = toy.start()
        wait_for_line(flow, f"waiting for (PID {dvc.pid})")
        toy.release("fetch")
        dvc.communicate(timeout=60)
        output, _ = flow.communicate(timeout=60)
        assert flow.returncode == 0, output
        assert "up to date" in toy.run("dvc", "status")

        holder = (
            "import zc.lockfile; lock = zc.lockfile.LockFile('.dvc/tmp/lock'); print(flush=True); input()"
        )
        held = subprocess.Popen(
            [sys.executable, "-c", holder], cwd=toy.path, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert held.stdout is not None
        held.stdout.readline()
        flow = toy.start()
        wait_for_line(flow, f"waiting for process {held.pid}: ")
        held.communicate(b"\n")
        output, _ = flow.communicate(timeout=60)
        assert flow.returncode == 0, output

    def test_another_dvc_keeps_away_from_outputs_in_the_making(self, toy: Toy) -> None:
        toy.hold("fetch")
        flow = toy.start()
        eventually(lambda: incomplete(toy))
        assert "is busy, it is being blocked by" in toy.run("dvc", "repro", fails=True)
        toy.release("fetch")
        output, _ = flow.communicate(timeout=120)
        assert flow.returncode == 0, output
