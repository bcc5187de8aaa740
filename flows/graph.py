"""The DVC graph: which stage depends on which, what has changed, and DVC's own locks.

DVC decides and does everything that `dvc repro` would: this calls its steps one by one, in the same order, so
that a stage's command can run while other stages run theirs. So the run cache works as in `dvc repro`: a
stage that ran before with the same code, parameters and inputs is restored and not run, also one with metrics
in git, but no stage with an output that is `persist: true`.
"""

import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

import psutil
from dvc.dependency.base import DependencyDoesNotExistError
from dvc.exceptions import DvcException
from dvc.lock import LockError
from dvc.repo import Repo
from dvc.repo.reproduce import get_active_graph, plan_repro
from dvc.rwlock import rwlock
from dvc.stage import Stage
from dvc.stage.cache import RunCacheNotFoundError, _can_hash
from dvc.stage.exceptions import StageFileDoesNotExistError, StageNotFound
from dvc.stage.serialize import to_lockfile, to_single_stage_lockfile
from dvc.utils.serialize import modify_yaml

from flows.workspace import wait_for
from pets.core.errors import UserError, nearest
from pets.core.files import atomic

FORCED = "forced"
MAX_NAMED = 3  # changes in a reason; the others are counted


class Change(NamedTuple):
    """One reason for DVC to run a stage: a description, and the path in dvc.yaml if a file changed."""

    path: str | None
    text: str


def describe(changes: Sequence[Change]) -> str:
    """The first few changes, and how many more there are."""
    more = f" and {len(changes) - MAX_NAMED} more" if len(changes) > MAX_NAMED else ""
    return ", ".join(change.text for change in changes[:MAX_NAMED]) + more


class Planned(NamedTuple):
    """What a run would do with a stage, and the reason.

    ``action`` is "run", "restore" (from the run cache), "cached" (nothing changed), or "may run" if that
    depends on the outputs of another stage.
    """

    name: str
    action: str
    reason: str


class Graph:
    """``targets`` (if empty: all stages) and what they depend on, in the order of `dvc repro`.

    ``report`` is called with a message whenever another process holds a lock, and ``pause`` between two
    attempts. Raises UserError if there is no DVC project here, its files define no valid graph, or a target
    is unknown.
    """

    def __init__(
        self, targets: Sequence[str], report: Callable[[str], None], pause: Callable[[], None]
    ) -> None:
        self._report = report
        self._pause = pause
        self._threads = threading.Lock()  # DVC's objects are not thread-safe
        with dvc_errors():
            self.repo = Repo()
            if Path(self.repo.root_dir) != Path.cwd():
                raise UserError(f"run from the project's root, {self.repo.root_dir}.")
            if not Path("dvc.yaml").exists():
                raise UserError(f"there is no dvc.yaml in {Path.cwd()}; run from the project's root.")
            active = get_active_graph(self.repo.index.graph)
            requested = [stage for target in targets or ["dvc.yaml"] for stage in self._collect(target)]
            order: list[Stage] = plan_repro(active, requested)
        self.stages = {stage.addressing: stage for stage in order}
        self.upstream = {
            stage.addressing: sorted(each.addressing for each in active.successors(stage)) for stage in order
        }

    def _collect(self, target: str) -> list[Stage]:
        try:
            return list(self.repo.stage.collect(target))
        except (StageNotFound, StageFileDoesNotExistError):
            names = {stage.addressing for stage in self.repo.index.stages}
            groups = {name.partition("@")[0] for name in names}
            raise UserError(f"dvc.yaml has no stage '{target}'; {nearest(target, names | groups)}") from None

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold DVC's lock of the project: around DVC's own steps, never while a command runs."""
        with self._threads, dvc_errors():
            wait_for(self.repo.lock.lock, LockError, self._holder, self._report, self._pause)
            try:
                yield
            finally:
                self.repo.lock.unlock()

    def _holder(self, _: LockError) -> str:
        """The process whose pid is in DVC's lock file."""
        pid = Path(self.repo.tmp_dir, "lock").read_text("utf-8").strip()
        try:
            return f"process {pid}: {' '.join(psutil.Process(int(pid)).cmdline())}"
        except (ValueError, psutil.Error):
            return "another DVC process"

    @contextmanager
    def reserved(self) -> Iterator[None]:
        """Lock every output against other DVC processes, as `dvc repro` does for the outputs that it makes.

        DVC identifies a holder by process and command line, so its calls from this process pass.
        """

        with dvc_errors(), ExitStack() as held:
            command, hardlink = " ".join(sys.argv), self.repo.config["core"].get("hardlink_lock", False)
            outs = [out.fs_path for stage in self.repo.index.stages for out in stage.outs]
            lock = partial(rwlock, self.repo.tmp_dir, self.repo.fs, command, [], outs, hardlink)
            wait_for(lambda: held.enter_context(lock()), LockError, _blockers, self._report, self._pause)
            yield

    def changes(self, stage: Stage) -> list[Change]:
        """Why DVC would run a stage; empty if it would not. Call it `locked`."""
        if not stage.changed():
            return []
        if stage.cmd and stage.outs and not any(out.hash_info for out in stage.outs):
            return [Change(None, "it has not run yet")]
        changes = []
        for entry in stage.status()[stage.addressing]:
            if isinstance(entry, str):
                changes.append(Change(None, "its command changed" if entry == "changed command" else entry))
                continue
            for kind, files in entry.items():
                mark = " (output)" if kind == "changed outs" else ""
                for path, how in files.items():
                    if isinstance(how, str):
                        changes.append(Change(path, f"{path} {how}{mark}"))
                    else:  # a file of parameters: how each key changed
                        changes += [Change(path, f"{path}: {key} {verb}") for key, verb in how.items()]
        return changes

    def matches_lock(self, name: str) -> bool:
        """Whether the outputs of a stage are those in dvc.lock."""
        with self.locked():
            found = [stage for stage in self.repo.index.stages if stage.addressing == name]
            return bool(found) and not any(out.status() for out in found[0].outs)

    def plan(self, force: bool) -> list[Planned]:
        """What a run would do with each stage, as far as that is known before anything has run."""
        planned: dict[str, Planned] = {}
        with self.locked():
            for name, stage in self.stages.items():
                running = [each for each in self.upstream[name] if planned[each].action != "cached"]
                remade = {out.def_path for each in running for out in self.stages[each].outs}
                changes = [Change(None, FORCED)] if force else self.changes(stage)
                after = ", ".join(running)
                if any(change.path not in remade for change in changes):
                    action, reason = "run", describe(changes)
                    if not running and not force and self._in_run_cache(stage):
                        action = "restore"
                    elif running and all(planned[each].action != "run" for each in running):
                        action, reason = "may run", f"if the run cache lacks it; {reason}"
                    planned[name] = Planned(name, action, reason)
                elif changes:  # but the files that changed will be made again before this stage's turn
                    planned[name] = Planned(name, "may run", f"after {after}; now {describe(changes)}")
                elif running:
                    planned[name] = Planned(name, "may run", f"if the outputs of {after} change")
                else:
                    planned[name] = Planned(name, "cached", "nothing changed")
        return list(planned.values())

    def _in_run_cache(self, stage: Stage) -> bool:
        """Whether `prepare` would restore the outputs, by DVC's rules. Changes ``stage``, but no file."""
        cache = self.repo.stage_cache
        only_lost = (
            not stage.changed_stage() and stage.deps_cached() and all(out.hash_info for out in stage.outs)
        )
        with suppress(DependencyDoesNotExistError):
            stage.save_deps()
            if _can_hash(stage):
                entry = to_single_stage_lockfile(stage) if only_lost else cache._load(stage)
                return bool(entry and cache._create_stage(entry, wdir=stage.wdir).outs_cached())
        return False

    def prepare(self, stage: Stage, force: bool) -> bool:
        """What DVC does before a command: delete the outputs, then restore them from its run cache if it can.

        Returns whether the command must run. Call it `locked`.
        """
        stage.remove_outs()
        if not force:
            try:
                self.repo.stage_cache.restore(stage)
            except RunCacheNotFoundError:
                pass
            else:
                return False
        stage.save_deps()
        return True

    def finish(self, stage: Stage) -> None:
        """What DVC does after a command: cache the outputs, write dvc.lock. Call it `locked`.

        The run cache gets the stage by DVC's own rule: not with an output outside of the cache, unless that
        is a metric or a plot.
        """
        uncached = any(not (out.use_cache or out.is_metric or out.is_plot) for out in stage.outs)
        with self.repo.scm_context(quiet=True):
            stage.save(run_cache=not uncached)
            stage.commit()
            self._write_lock(stage)

    def _write_lock(self, stage: Stage) -> None:
        """Let DVC write a copy of dvc.lock: it writes in place, so a kill would leave a truncated file."""
        lock = Path(stage.path).with_suffix(".lock")
        with atomic(lock) as temporary:
            if lock.exists():
                shutil.copyfile(lock, temporary)
            with modify_yaml(os.fspath(temporary)) as content:
                content.setdefault("schema", "2.0")
                content.setdefault("stages", {}).update(to_lockfile(stage))
        self.repo.scm_context.track_file(os.path.relpath(lock))


@contextmanager
def dvc_errors() -> Iterator[None]:
    """Turn DVC's errors, all of which the user can fix, into a UserError of one line."""
    try:
        yield
    except DvcException as error:
        raise UserError(" ".join(str(error).split())) from error


def _blockers(error: LockError) -> str:
    """The processes that DVC names, one per line, in an error about a locked path."""
    lines = [line.strip() for line in str(error).splitlines()]
    return ", ".join(line for line in lines if line.startswith("(PID")) or lines[0]
