"""Run one stage as DVC does, with its output logged, and restore its outputs if it does not succeed."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from dvc.stage import Stage
from dvc.stage.run import _enforce_cmd_list, _make_cmd, get_executable, prepare_kwargs

from flows.graph import FORCED, Graph, describe
from flows.workspace import Workspace

PROGRESS = re.compile(r"(\d{1,3})%\|")  # as tqdm writes it
LAST_LINES = 5  # of the output of a stage that fails, in its state's message
GRACE_SECONDS = 10  # between SIGINT and SIGKILL for a command that is being stopped
Log = Callable[[str], None]
Progress = Callable[[int, str], None]  # a percentage, and the whole line that has it


class Status(StrEnum):
    """How a stage ended, which is also the name of its Prefect state."""

    COMPLETED = "Completed"
    CACHED = "Cached"
    FAILED = "Failed"
    UNREACHABLE = "Unreachable"  # it failed, with the exit status for an error that may go away by itself
    SKIPPED = "Skipped"
    CANCELLED = "Cancelled"

    @property
    def succeeded(self) -> bool:
        """Whether the stage's outputs are up to date."""
        return self in (Status.COMPLETED, Status.CACHED)


@dataclass(frozen=True)
class Outcome:
    """How a stage ended, the reason, and the seconds that it took."""

    status: Status
    reason: str
    seconds: float = 0


class StoppedError(Exception):
    """The flow is being stopped, and this command with it."""


class CommandError(Exception):
    """A command's exit status was not 0; the message is the last lines of its output."""

    def __init__(self, status: int, lines: list[str]) -> None:
        self.temporary = status == os.EX_TEMPFAIL
        super().__init__("\n".join(lines) or f"exit status {status}, no output")


class Executor:
    """Runs stages of a graph, several at once if called from several threads, and can stop them all.

    No dataclass: Prefect would read its fields while stages write to them.
    """

    def __init__(self, graph: Graph, workspace: Workspace, force: bool) -> None:
        self.graph = graph
        self.outcomes: dict[str, Outcome] = {}  # of the stages that have ended
        self._workspace = workspace
        self._force = force
        self._lock = threading.Lock()
        self._stopping = False
        self._running: set[subprocess.Popen[str]] = set()

    def run(self, name: str, log: Log, progress: Progress) -> Outcome:
        """Bring a stage up to date, as `dvc repro` does for one stage.

        Each line of its command's output goes to ``log``; if it is a progress bar, its percentage and the
        line go to ``progress``. Unless the stage succeeds, its outputs are left as they were.
        """
        stage = self.graph.stages[name]
        started = time.monotonic()
        with self.graph.locked():
            reason = FORCED if self._force else describe(self.graph.changes(stage))
            if not reason:
                return Outcome(Status.CACHED, "nothing changed since it last ran")
        log(f"reason to run: {reason}")
        try:
            with self._workspace.snapshot(name, [Path(out.fs_path) for out in stage.outs]):
                restored = self._reproduce(stage, log, progress)
        except CommandError as error:
            status, reason = Status.UNREACHABLE if error.temporary else Status.FAILED, str(error)
        except StoppedError:
            status, reason = Status.CANCELLED, "the flow was stopped"
        else:
            status = Status.CACHED if restored else Status.COMPLETED
            reason = f"restored from DVC's run cache; {reason}" if restored else reason
        return Outcome(status, reason, time.monotonic() - started)

    def stop(self) -> None:
        """Interrupt every command, and kill those that do not stop; no other command starts."""
        with self._lock:
            self._stopping = True
            running = list(self._running)
        for process in running:
            _signal(process, signal.SIGINT)  # a stage then removes its temporary files
        deadline = time.monotonic() + GRACE_SECONDS
        for process in running:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0, deadline - time.monotonic()))
            _signal(process, signal.SIGKILL)  # also whatever it started and left behind

    def _reproduce(self, stage: Stage, log: Log, progress: Progress) -> bool:
        """Run the command between DVC's steps; returns whether DVC restored the outputs instead."""
        if not stage.cmd or stage.frozen:  # data that DVC only tracks, and frozen stages
            with self.graph.locked():
                stage.reproduce(force=self._force)
                stage.dump(update_pipeline=False)
            return False
        with self.graph.locked():
            needed = self.graph.prepare(stage, self._force)
        if needed:
            for command in _enforce_cmd_list(stage.cmd):
                log(f"> {command}")
                self._command(stage, command, log, progress)
        with self.graph.locked():
            self.graph.finish(stage)
        return not needed

    def _command(self, stage: Stage, command: str, log: Log, progress: Progress) -> None:
        """Run one command line in the shell and the environment that DVC would use."""
        options = prepare_kwargs(stage, run_env=self._workspace.environment())
        # `python` is the interpreter of this flow, even if its virtual environment is not activated.
        options["env"]["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{options['env'].get('PATH', '')}"
        options["env"]["PYTHONUNBUFFERED"] = "1"
        # Threads that busy-wait would slow down a stage that runs at the same time.
        options["env"].setdefault("OMP_WAIT_POLICY", "PASSIVE")
        with self._lock:
            if self._stopping:
                raise StoppedError
            process = subprocess.Popen(
                _make_cmd(get_executable(), command),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,  # turns a progress bar's carriage returns into newlines
                errors="replace",
                start_new_session=True,  # so that it can be stopped together with its child processes
                **options,
            )
            self._running.add(process)
        last: deque[str] = deque(maxlen=LAST_LINES)
        assert process.stdout is not None
        try:
            for line in map(str.rstrip, process.stdout):
                if not line:
                    continue
                if bar := PROGRESS.search(line):
                    progress(int(bar[1]), line)
                else:
                    last.append(line)
                log(line)
            status = process.wait()
        except BaseException:
            _signal(process, signal.SIGKILL)
            raise
        finally:
            with self._lock:
                self._running.discard(process)
        if status:
            raise StoppedError if self._stopping else CommandError(status, list(last))


def _signal(process: "subprocess.Popen[str]", number: int) -> None:
    with suppress(ProcessLookupError):  # it may have ended already
        os.killpg(process.pid, number)
