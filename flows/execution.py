"""One stage: asked of DVC whether it must run, its command watched, its outputs handed to DVC or put back."""

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

from flows.graph import FORCED, Graph, in_words
from flows.workspace import Workspace

PROGRESS = re.compile(r"(\d{1,3})%\|")  # as tqdm writes it
LAST_LINES = 5  # of a stage that fails, in its state's message
PATIENCE = 10  # seconds between asking a command to stop and ending it


class Ending(StrEnum):
    """How a stage ended: the name of its Prefect state."""

    COMPLETED = "Completed"
    CACHED = "Cached"
    FAILED = "Failed"
    UNREACHABLE = "Unreachable"  # it failed, but says that trying again later may help
    SKIPPED = "Skipped"
    CANCELLED = "Cancelled"

    @property
    def well(self) -> bool:
        """Whether what the stage makes stands there now."""
        return self in (Ending.COMPLETED, Ending.CACHED)


@dataclass(frozen=True)
class Outcome:
    """How a stage ended, why, and the seconds that it took."""

    ending: Ending
    why: str
    seconds: float = 0


class StoppedError(Exception):
    """The flow is being stopped, and this command with it."""


class CommandError(Exception):
    """A command's exit status was not 0: the message has its last lines."""

    def __init__(self, status: int, lines: list[str]) -> None:
        self.temporary = status == os.EX_TEMPFAIL
        super().__init__("\n".join(lines) or f"exit status {status}, and not a word")


class Executor:
    """Runs stages of a graph, several at a time where several threads ask, and can stop them all."""

    def __init__(self, graph: Graph, workspace: Workspace) -> None:
        self._graph = graph
        self._workspace = workspace
        self._lock = threading.Lock()
        self._stopping = False
        self._running: set[subprocess.Popen[str]] = set()

    def run(
        self, name: str, force: bool, log: Callable[[str], None], progress: Callable[[int, str], None]
    ) -> Outcome:
        """Bring a stage up to date, as `dvc repro` does for one stage.

        Each line that its command prints goes to ``log``; where a line is a progress bar, its percentage and
        the whole line go to ``progress``. A stage that does not end well leaves its outputs as they were.
        """
        stage = self._graph.stages[name]
        started = time.monotonic()
        with self._graph.locked():
            why = FORCED if force else in_words(self._graph.changes(stage))
            if not why:
                return Outcome(Ending.CACHED, "nothing changed since it last ran")
        log(f"runs: {why}")
        try:
            with self._workspace.snapshot(name, [Path(out.fs_path) for out in stage.outs]):
                restored = self._reproduce(stage, force, log, progress)
        except CommandError as error:
            ending = Ending.UNREACHABLE if error.temporary else Ending.FAILED
            return Outcome(ending, str(error), time.monotonic() - started)
        except StoppedError:
            return Outcome(Ending.CANCELLED, "the flow was stopped", time.monotonic() - started)
        if restored:
            return Outcome(Ending.CACHED, f"restored from DVC's run cache; {why}", time.monotonic() - started)
        return Outcome(Ending.COMPLETED, why, time.monotonic() - started)

    def stop(self) -> None:
        """Ask every command to stop, and end those that don't; no further one starts."""
        with self._lock:
            self._stopping = True
            running = list(self._running)
        for process in running:
            _signal(process, signal.SIGINT)  # upon which a door cleans up behind itself
        deadline = time.monotonic() + PATIENCE
        for process in running:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0, deadline - time.monotonic()))
            _signal(process, signal.SIGKILL)  # and what it may have started and left

    def _reproduce(
        self, stage: Stage, force: bool, log: Callable[[str], None], progress: Callable[[int, str], None]
    ) -> bool:
        """DVC's steps around the command; returns whether the run cache saved running it."""
        if not stage.cmd or stage.frozen:  # data that DVC tracks, and stages that it shall leave alone
            with self._graph.locked():
                stage.reproduce(force=force)
                stage.dump(update_pipeline=False)
            return False
        with self._graph.locked():
            needed = self._graph.prepare(stage, force)
        if needed:
            for command in _enforce_cmd_list(stage.cmd):
                log(f"> {command}")
                self._command(stage, command, log, progress)
        with self._graph.locked():
            self._graph.finish(stage)
        return not needed

    def _command(
        self, stage: Stage, command: str, log: Callable[[str], None], progress: Callable[[int, str], None]
    ) -> None:
        """Run one command line in the shell and the surroundings that DVC would give it."""
        options = prepare_kwargs(stage, run_env=self._workspace.environment())
        # `python` is the one that runs this flow, whether or not the shell has its environment active.
        options["env"]["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{options['env'].get('PATH', '')}"
        options["env"]["PYTHONUNBUFFERED"] = "1"
        # Threads that spin while they wait take the cores from the stage beside this one.
        options["env"].setdefault("OMP_WAIT_POLICY", "PASSIVE")
        with self._lock:
            if self._stopping:
                raise StoppedError
            process = subprocess.Popen(
                _make_cmd(get_executable(), command),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,  # a progress bar's carriage returns become ends of lines
                errors="replace",
                start_new_session=True,  # so that it can be stopped with all that it starts
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
    with suppress(ProcessLookupError):  # it may have ended by itself
        os.killpg(process.pid, number)
