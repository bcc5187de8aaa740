"""The DVC graph, read from DVC itself: which stage hangs on which, what has changed, and DVC's own locks.

All of DVC that belongs to a stage is done by DVC: this asks it the questions of `dvc repro` one by one, so
that the command between them can run beside others.
"""

import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from dvc.exceptions import DvcException
from dvc.lock import LockError
from dvc.repo import Repo
from dvc.repo.reproduce import get_active_graph, plan_repro
from dvc.rwlock import rwlock
from dvc.stage import Stage
from dvc.stage.cache import RunCacheNotFoundError
from dvc.stage.exceptions import StageFileDoesNotExistError, StageNotFound
from dvc.stage.serialize import to_lockfile
from dvc.utils.serialize import modify_yaml

from stages.errors import UserError, nearest
from stages.files import whole

FORCED = "asked for by force"
MOST_NAMED = 3  # changes in a reason; the others are counted


@dataclass(frozen=True)
class Change:
    """One thing that makes DVC run a stage: its path in dvc.yaml where it is a file, and in words."""

    path: str | None
    text: str


def in_words(changes: Sequence[Change]) -> str:
    """The first few changes, and how many more there are."""
    more = f" and {len(changes) - MOST_NAMED} more" if len(changes) > MOST_NAMED else ""
    return ", ".join(change.text for change in changes[:MOST_NAMED]) + more


@dataclass(frozen=True)
class Planned:
    """What would happen to a stage: "run", "cached", or "may run" (it hangs on a stage that runs)."""

    name: str
    action: str
    why: str


class Graph:
    """The stages that ``targets`` (stage names; all where empty) need, in the order of `dvc repro`.

    Raises UserError where there is no DVC project here, its files don't make a graph, or a target is unknown.
    """

    def __init__(self, targets: Sequence[str], say: Callable[[str], None], pause: Callable[[], None]) -> None:
        self._say = say  # whom one waits for
        self._pause = pause  # between two looks at a lock that another holds
        self._threads = threading.Lock()  # DVC's objects are for one thread at a time
        with told_in_a_line():
            self.repo = Repo()
            if Path(self.repo.root_dir) != Path.cwd():
                raise UserError(f"run from the project's root, {self.repo.root_dir}.")
            if not Path("dvc.yaml").exists():
                raise UserError(f"there is no dvc.yaml in {Path.cwd()}; run from the project's root.")
            active = get_active_graph(self.repo.index.graph)
            asked = [stage for target in targets or ["dvc.yaml"] for stage in self._collect(target)]
            order: list[Stage] = plan_repro(active, asked)
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
        """Hold DVC's lock of the project: for its bookkeeping, never while a command runs."""
        with self._threads, told_in_a_line():
            _until_free(self.repo.lock.lock, self._say, self._holder, self._pause)
            try:
                yield
            finally:
                self.repo.lock.unlock()

    def _holder(self, _: LockError) -> str:
        """Whose pid stands in DVC's lock file."""
        pid = Path(self.repo.tmp_dir, "lock").read_text("utf-8").strip()
        try:
            return f"process {pid}: {' '.join(psutil.Process(int(pid)).cmdline())}"
        except (ValueError, psutil.Error):
            return "another DVC process"

    @contextmanager
    def reserved(self) -> Iterator[None]:
        """Keep other DVC processes away from every output, as `dvc repro` does for those that it makes.

        DVC knows who holds what by process and command line, so that its own calls in here pass.
        """

        def reserve() -> AbstractContextManager[None]:
            return rwlock(
                self.repo.tmp_dir,
                self.repo.fs,
                " ".join(sys.argv),
                read=[],
                write=[out.fs_path for stage in self.repo.index.stages for out in stage.outs],
                hardlink=self.repo.config["core"].get("hardlink_lock", False),
            )

        with told_in_a_line(), ExitStack() as held:
            _until_free(lambda: held.enter_context(reserve()), self._say, _blockers, self._pause)
            yield

    def changes(self, stage: Stage) -> list[Change]:
        """Why DVC would run a stage; nothing where it would not. Call it `locked`."""
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

    def as_locked(self, name: str) -> bool:
        """Whether the outputs of a stage stand there as dvc.lock says."""
        with self.locked():
            found = [stage for stage in self.repo.index.stages if stage.addressing == name]
            return bool(found) and not any(out.status() for out in found[0].outs)

    def plan(self, force: bool) -> list[Planned]:
        """What a run would do, stage by stage, as far as it can be known before anything has run."""
        planned: dict[str, Planned] = {}
        with self.locked():
            for name, stage in self.stages.items():
                running = [each for each in self.upstream[name] if planned[each].action != "cached"]
                theirs = {out.def_path for each in running for out in self.stages[each].outs}
                changes = [Change(None, FORCED)] if force else self.changes(stage)
                after = ", ".join(running)
                if any(change.path not in theirs for change in changes):
                    planned[name] = Planned(name, "run", in_words(changes))
                elif changes:  # but part of what stands there now is made anew before it is this stage's turn
                    planned[name] = Planned(name, "may run", f"after {after}; now {in_words(changes)}")
                elif running:
                    planned[name] = Planned(name, "may run", f"if {after} makes something else")
                else:
                    planned[name] = Planned(name, "cached", "nothing changed")
        return list(planned.values())

    def prepare(self, stage: Stage, force: bool) -> bool:
        """What DVC does before a command: make way for the outputs, or restore them from its run cache.

        Returns whether the command is still needed. Call it `locked`.
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
        """What DVC does after a command: outputs into its cache, sums into dvc.lock. Call it `locked`."""
        uncached = any(not (out.use_cache or out.is_metric or out.is_plot) for out in stage.outs)
        with self.repo.scm_context(quiet=True):
            stage.save(run_cache=not uncached)
            stage.commit()
            self._write_lock(stage)

    def _write_lock(self, stage: Stage) -> None:
        """DVC writes dvc.lock in place, where a kill would leave half of it: so it writes a copy."""
        lock = Path(stage.path).with_suffix(".lock")
        with whole(lock) as temporary:
            if lock.exists():
                shutil.copyfile(lock, temporary)
            with modify_yaml(os.fspath(temporary)) as content:
                content.setdefault("schema", "2.0")
                content.setdefault("stages", {}).update(to_lockfile(stage))
        self.repo.scm_context.track_file(os.path.relpath(lock))


@contextmanager
def told_in_a_line() -> Iterator[None]:
    """DVC's errors, which are all about something a person can mend, as a UserError of one line."""
    try:
        yield
    except DvcException as error:
        raise UserError(" ".join(str(error).split())) from error


def _until_free(
    acquire: Callable[[], object],
    say: Callable[[str], None],
    who: Callable[[LockError], str],
    pause: Callable[[], None],
) -> None:
    """Take one of DVC's locks, however long that takes; say once whom one waits for."""
    told = None
    while True:
        try:
            acquire()
        except LockError as error:
            if told != (told := who(error)):
                say(f"waiting for {told}")
            pause()
        else:
            return


def _blockers(error: LockError) -> str:
    """The processes that DVC names, a line each, in an error about a busy path."""
    lines = [line.strip() for line in str(error).splitlines()]
    return ", ".join(line for line in lines if line.startswith("(PID")) or lines[0]
