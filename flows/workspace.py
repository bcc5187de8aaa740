"""One run at a time in a workspace, and whatever a killed run left behind is put right by the next.

Before a stage may touch its outputs, a snapshot of them is laid down in DVC's folder for temporary things. If
the stage ends well, the snapshot goes; if it fails, is cancelled or the whole machine dies, the outputs are
put back as they were, at once or by the next run. A snapshot costs hardly any room: files that DVC
links to its cache are linked once more, and only the others (metrics, summaries) are copied.
"""

import fcntl
import json
import os
import shutil
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import quote, unquote

import psutil
from dvc.lock import make_lock

from stages.errors import UserError
from stages.files import read_json, remove, whole, write_json

MARK = "PETS_FLOW_WORKSPACE"  # in the environment of every stage's process: whose it is, if it is left alone


class Workspace:
    """The project's folder, as one run after another has it for itself.

    Raises UserError where ``root`` is no DVC project.
    """

    def __init__(self, root: Path) -> None:
        if not (root / ".dvc").is_dir():
            raise UserError(f"there is no DVC project in {root}; run from the project's root.")
        self.root = root
        self.temporary = root / ".dvc" / "tmp"
        self.folder = self.temporary / "flows"

    @contextmanager
    def held(
        self, me: dict[str, Any], say: Callable[[str], None], pause: Callable[[], None]
    ) -> Iterator[dict[str, Any] | None]:
        """Wait until no other run is in here, `pause` by `pause`, and say whose it is.

        ``me`` ("name", and "flow_run_id" where it is a flow run) is what a run that waits for this one is
        told. Yields what the last flow run said of itself if it was killed, else None, and only a flow run
        clears that away. The lock is the kernel's, so it ends with the process.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("a+", encoding="utf-8") as file:
            _wait_for(file, say, pause)
            killed = _owner(file)
            _write(file, {**me, "pid": os.getpid(), "host": socket.gethostname(), "since": _now()})
            try:
                self._mend_rwlock()
                yield killed
            finally:
                _write(file, None if "flow_run_id" in me else killed)

    def environment(self) -> dict[str, str]:
        """What a stage's process must have in its environment to be found again."""
        return {MARK: str(self.root)}

    @contextmanager
    def snapshot(self, name: str, paths: Sequence[Path]) -> Iterator[None]:
        """If the block fails, or this process dies in it, ``paths`` come back as they are now."""
        folder = self._take(name, paths)
        try:
            yield
        except BaseException:
            self._restore(folder)
            raise
        _discard(folder)

    @contextmanager
    def undone(self, name: str, paths: Sequence[Path]) -> Iterator[None]:
        """However the block ends, ``paths`` come back as they are now."""
        folder = self._take(name, paths)
        try:
            yield
        finally:
            self._restore(folder)

    def _take(self, name: str, paths: Sequence[Path]) -> Path:
        folder = self.folder / "before" / quote(name, safe="@")
        with whole(folder) as temporary:
            temporary.mkdir()
            kept = {}
            for number, path in enumerate(paths):
                existed = os.path.lexists(path)
                kept[str(number)] = {"path": os.fspath(path), "existed": existed}
                if existed:
                    _copy(path, temporary / str(number))
            write_json(temporary / "paths.json", kept)
        return folder

    def stop_orphans(self, say: Callable[[str], None]) -> None:
        """Stop the processes that a killed run left behind. Call it while the workspace is `held`."""
        own = {os.getpid(), *(each.pid for each in psutil.Process().children(recursive=True))}
        orphans = [
            each
            for each in psutil.process_iter(["environ"])  # None for other people's processes
            if (each.info["environ"] or {}).get(MARK) == str(self.root) and each.pid not in own
        ]
        for process in orphans:
            say(f"stopping process {process.pid}, which a killed run left behind")
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(orphans, timeout=30)

    def put_back(self, finished: Callable[[str], bool], say: Callable[[str], None]) -> None:
        """Put back the outputs of stages in the middle of which a run was killed.

        ``finished`` says of a stage, by name, whether its outputs are what dvc.lock says: then the run got to
        its end, or somebody ran it since, and the outputs stay. Call it while the workspace is `held` and no
        other DVC process works on the outputs.
        """
        for folder in sorted((self.folder / "before").glob("*")):
            name = unquote(folder.name)
            if name.startswith("."):  # a snapshot half taken, or half discarded
                remove(folder)
            elif finished(name):
                _discard(folder)
            else:
                say(f"putting back the outputs of {name}, in which a run was killed")
                self._restore(folder)

    def _mend_rwlock(self) -> None:
        """DVC writes its table of who holds what in place; half a table would stop every DVC command."""
        table = self.temporary / "rwlock"
        with make_lock(os.fspath(self.temporary / "rwlock.lock"), wait=True):
            try:
                json.loads(table.read_text("utf-8"))
            except FileNotFoundError:
                pass
            except json.JSONDecodeError:
                table.unlink()

    def _restore(self, folder: Path) -> None:
        """Put a snapshot back. It can be cut off anywhere and be done again."""
        for number, each in read_json(folder / "paths.json").items():
            path, saved = self.root / each["path"], folder / number
            if each["existed"] and not os.path.lexists(saved):
                continue  # put back already
            remove(path)
            if each["existed"]:
                path.parent.mkdir(parents=True, exist_ok=True)
                saved.rename(path)
            else:
                self._prune(path.parent)
        _discard(folder)

    def _prune(self, folder: Path) -> None:
        """Remove folders that became empty."""
        while folder.is_relative_to(self.root) and folder != self.root:
            if folder.exists():
                if any(folder.iterdir()):
                    return
                folder.rmdir()
            folder = folder.parent


def _discard(folder: Path) -> None:
    """Remove a snapshot, so that one half removed is never taken for a whole one."""
    gone = folder.with_name(f".{folder.name}.gone")
    remove(gone)
    folder.rename(gone)
    remove(gone)


def _wait_for(file: TextIO, say: Callable[[str], None], pause: Callable[[], None]) -> None:
    told = None
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = _owner(file)
            if owner and owner != told:
                say(
                    f"waiting for the run {owner['name']} (process {owner['pid']} on {owner['host']}, "
                    f"since {owner['since']}), which works in this folder"
                )
                told = owner
            pause()
        else:
            return


def _owner(file: TextIO) -> dict[str, Any] | None:
    """Who wrote itself into the lock file; None where nobody did, or it is being written just now."""
    file.seek(0)
    try:
        owner: dict[str, Any] | None = json.loads(file.read() or "null")
    except json.JSONDecodeError:
        return None
    return owner


def _write(file: TextIO, owner: dict[str, Any] | None) -> None:
    file.seek(0)
    file.truncate()
    json.dump(owner, file)
    file.flush()


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _copy(path: Path, target: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.copytree(path, target, copy_function=_link_or_copy, symlinks=True)
    else:
        _link_or_copy(os.fspath(path), os.fspath(target))


def _link_or_copy(path: str, target: str) -> None:
    """A file with more than one name is linked to DVC's cache, and never written to under this name."""
    if os.lstat(path).st_nlink > 1:
        os.link(path, target, follow_symlinks=False)
    else:
        shutil.copy2(path, target, follow_symlinks=False)
