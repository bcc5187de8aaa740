"""One run at a time in a project folder, and recovery from a run that failed or was killed.

What existed before a stage runs must exist until the new outputs are complete. Three mechanisms serve this,
and none replaces another:

- A stage writes to a temporary path and renames it (`pets.core.files.atomic`). So no reader sees half a file,
  however the stage is run, and a file that is a hard link to DVC's cache is never written to. This alone is
  enough only when a stage is run by hand, since DVC deletes a stage's outputs before it runs the command.
- `persist: true` in dvc.yaml makes DVC leave an output in place. It is for outputs that a stage updates, the
  catalog and the embeddings: DVC's run cache leaves out every stage with such an output.
- A snapshot, taken here before DVC deletes anything, brings the outputs back if the stage fails, is cancelled
  or is killed: at once or, if this process is killed too, at the next run. `dvc checkout`, which a user of
  `dvc repro` has, cannot do this: it knows neither metrics, which git tracks, nor outputs that are not in
  dvc.lock. A snapshot takes hardly any space: files that DVC links to its cache are linked once more, and
  only the others are copied.
"""

import fcntl
import json
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import quote, unquote

import psutil
from dvc.lock import make_lock

from pets.core.errors import UserError
from pets.core.files import atomic, read_json, remove, write_json
from pets.core.stage import FLOW as MARK


class Workspace:
    """The project's folder, used by one run at a time. Raises UserError if ``root`` is no DVC project."""

    def __init__(self, root: Path) -> None:
        if not (root / ".dvc").is_dir():
            raise UserError(f"there is no DVC project in {root}; run from the project's root.")
        self.root = root
        self.temporary = root / ".dvc" / "tmp"
        self.folder = self.temporary / "flows"

    @contextmanager
    def held(
        self, run: dict[str, Any], report: Callable[[str], None], pause: Callable[[], None]
    ) -> Iterator[dict[str, Any] | None]:
        """Lock the workspace. While another run holds it, report which, and ``pause`` between attempts.

        ``run`` ("name", and "flow_run_id" if it is a flow run) is what a waiting run reports. Yields the
        description of the last flow run if it was killed, else None; only a flow run then removes that
        description. The lock is the kernel's, so it ends with the process.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("a+", encoding="utf-8") as file:
            wait_for(
                lambda: fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB),
                BlockingIOError,
                lambda _: _describe(_read_owner(file)),
                report,
                pause,
            )
            killed = _read_owner(file)
            since = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
            _write_owner(file, {**run, "pid": os.getpid(), "host": socket.gethostname(), "since": since})
            try:
                self._repair_rwlock()
                yield killed
            finally:
                _write_owner(file, None if "flow_run_id" in run else killed)

    def environment(self) -> dict[str, str]:
        """Environment variables that mark a process as one of this workspace, for `stop_leftovers`."""
        return {MARK: str(self.root)}

    @contextmanager
    def snapshot(self, name: str, paths: Sequence[Path], always: bool = False) -> Iterator[None]:
        """Restore ``paths`` if the block fails or this process is killed in it, or with ``always``."""
        folder = self._take(name, paths)
        try:
            yield
        except BaseException:
            self._restore(folder)
            raise
        if always:
            self._restore(folder)
        else:
            _discard(folder)

    def _take(self, name: str, paths: Sequence[Path]) -> Path:
        folder = self.folder / "before" / quote(name, safe="@")
        with atomic(folder) as temporary:
            temporary.mkdir()
            kept = {}
            for number, path in enumerate(paths):
                existed = os.path.lexists(path)
                kept[str(number)] = {"path": os.fspath(path), "existed": existed}
                if existed:
                    _copy(path, temporary / str(number))
            write_json(temporary / "paths.json", kept)
        return folder

    def stop_leftovers(self, report: Callable[[str], None]) -> None:
        """Kill the processes that a killed run left running. Call it while the workspace is `held`."""
        own = {os.getpid(), *(each.pid for each in psutil.Process().children(recursive=True))}
        leftovers = [
            each
            for each in psutil.process_iter(["environ"])  # None for other users' processes
            if (each.info["environ"] or {}).get(MARK) == str(self.root) and each.pid not in own
        ]
        for process in leftovers:
            report(f"stopping process {process.pid}, left running by a killed run")
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(leftovers, timeout=30)

    def restore_killed(self, finished: Callable[[str], bool], report: Callable[[str], None]) -> None:
        """Restore the outputs of the stages that were running when a run was killed.

        ``finished`` says of a stage, by name, whether its outputs are those in dvc.lock: then it was
        complete, or has been run since, and the outputs stay. Call it while the workspace is `held` and no
        other DVC process works on the outputs.
        """
        for folder in sorted((self.folder / "before").glob("*")):
            name = unquote(folder.name)
            if name.startswith("."):  # incomplete: its creation or its removal was cut short
                remove(folder)
            elif finished(name):
                _discard(folder)
            else:
                report(f"restoring the outputs of {name}: a run was killed in it")
                self._restore(folder)

    def _repair_rwlock(self) -> None:
        """Delete DVC's table of locks if a kill left it truncated: no DVC command could read it."""
        table = self.temporary / "rwlock"
        with make_lock(os.fspath(self.temporary / "rwlock.lock"), wait=True):
            try:
                json.loads(table.read_text("utf-8"))
            except FileNotFoundError:
                pass
            except json.JSONDecodeError:
                table.unlink()

    def _restore(self, folder: Path) -> None:
        """Restore a snapshot. If this is interrupted anywhere, it can be repeated."""
        for number, each in read_json(folder / "paths.json").items():
            path, saved = self.root / each["path"], folder / number
            if each["existed"] and not os.path.lexists(saved):
                continue  # already restored
            remove(path)
            if each["existed"]:
                path.parent.mkdir(parents=True, exist_ok=True)
                saved.rename(path)
        _discard(folder)


def _discard(folder: Path) -> None:
    """Remove a snapshot: renamed first, so that one removed halfway is not taken for a complete one."""
    renamed = folder.with_name(f".{folder.name}.gone")
    remove(renamed)
    folder.rename(renamed)
    remove(renamed)


def wait_for(
    acquire: Callable[[], object],
    taken: type[Exception],
    holder: Callable[[Any], str],
    report: Callable[[str], None],
    pause: Callable[[], None],
) -> None:
    """Acquire a lock, however long that takes; report once who holds it, which is "" where nobody knows.

    ``acquire`` raises ``taken`` while another process holds the lock; ``holder`` gets that error.
    """
    reported = ""
    while True:
        try:
            acquire()
        except taken as error:
            found = holder(error)
            if found and found != reported:
                report(f"waiting for {found}")
                reported = found
            pause()
        else:
            return


def half_a_second() -> None:
    """The usual pause between two attempts."""
    time.sleep(0.5)


def _describe(owner: dict[str, Any] | None) -> str:
    if not owner:
        return ""
    process = f"process {owner['pid']} on {owner['host']}, since {owner['since']}"
    return f"the run {owner['name']} ({process}) in the same folder"


def _read_owner(file: TextIO) -> dict[str, Any] | None:
    """The run that the lock file names; None if it names none, or is being written at this moment."""
    file.seek(0)
    try:
        owner: dict[str, Any] | None = json.loads(file.read() or "null")
    except json.JSONDecodeError:
        return None
    return owner


def _write_owner(file: TextIO, owner: dict[str, Any] | None) -> None:
    file.seek(0)
    file.truncate()
    json.dump(owner, file)
    file.flush()


def _copy(path: Path, target: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.copytree(path, target, copy_function=_link_or_copy, symlinks=True)
    else:
        _link_or_copy(os.fspath(path), os.fspath(target))


def _link_or_copy(path: str, target: str) -> None:
    """Link a file with several links: it is one to DVC's cache, and never written to. Copy any other."""
    if os.lstat(path).st_nlink > 1:
        os.link(path, target, follow_symlinks=False)
    else:
        shutil.copy2(path, target, follow_symlinks=False)
