"""Fetch outputs by md5 from DVC's remote into its cache, without waiting for a remote that is silent."""

from collections.abc import Sequence
from queue import Empty, SimpleQueue
from threading import Thread

from dvc.exceptions import DvcException
from dvc.repo import Repo

from pets.core.progress import progress_bar

THREADS = 8


def fetch(repo: Repo, md5s: Sequence[str], patience: float) -> str:
    """Fetch what the remote has; returns why some of them are still missing, if so, as half a sentence.

    It gives up once ``patience`` seconds passed without an answer.
    """
    name = repo.config["core"].get("remote")
    if not name:
        return "no remote is configured"
    try:
        remote = repo.cloud.get_remote_odb()
    except DvcException as error:
        return f"the remote '{name}' cannot be used: {' '.join(str(error).split())}"
    cache = repo.cache.local
    waiting: SimpleQueue[str] = SimpleQueue()
    done: SimpleQueue[BaseException | None] = SimpleQueue()
    for md5 in md5s:
        waiting.put(md5)

    def work() -> None:
        while not waiting.empty():
            try:
                md5 = waiting.get_nowait()
                cache.add(remote.oid_to_path(md5), remote.fs, md5)  # complete or not at all
                cache.check(md5)  # what came is what was asked for
                done.put(None)
            except Empty:
                return
            except BaseException as error:  # noqa: BLE001 (a remote's client raises what it likes)
                done.put(error)

    for _ in range(min(THREADS, len(md5s))):
        Thread(target=work, daemon=True).start()  # which does not keep the program from ending
    failed: list[BaseException] = []
    with progress_bar(len(md5s), f"fetch from {name}", "files", delay=1) as progress:
        for _ in md5s:
            try:
                problem = done.get(timeout=patience)
            except Empty:
                return f"the remote '{name}' did not answer within {patience:g} seconds"
            if problem is not None:
                failed.append(problem)
            progress.update()
    other = [each for each in failed if not isinstance(each, FileNotFoundError)]
    if other:
        return f"the remote '{name}' failed: {' '.join(str(other[0]).split()) or type(other[0]).__name__}"
    return f"the remote '{name}' has not all of them" if failed else ""
