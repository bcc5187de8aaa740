"""After a successful run: push its outputs to DVC's remote, and commit dvc.lock and the metrics."""

import os
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.tasks import exponential_backoff

from flows.graph import Graph, dvc_errors
from pets.core.errors import UserError


@task(name="push", cache_policy=NO_CACHE, retries=2, retry_delay_seconds=exponential_backoff(10))
def push(graph: Graph) -> int:
    """Run `dvc push`; returns the number of files that it sent."""
    with dvc_errors():
        sent: int = graph.repo.push(targets=list(graph.stages))
    return sent


def results(graph: Graph) -> list[str]:
    """The files that runs write and git tracks: dvc.lock, and the outputs outside of DVC's cache."""
    outs = [out for stage in graph.repo.index.stages for out in stage.outs if not out.use_cache]
    return ["dvc.lock", *(os.path.relpath(out.fs_path) for out in outs)]


def check_branch(branch: str) -> None:
    """Raise UserError if no commit could be made on ``branch``: called before a run, not after it."""
    if subprocess.run(["git", "check-ref-format", f"refs/heads/{branch}"]).returncode:
        raise UserError(f"'{branch}' is not a valid name of a branch.")
    _git("var", "GIT_COMMITTER_IDENT")


def before(branch: str | None) -> str | None:
    """The commit that a run's results are compared with: the last of ``branch``, or HEAD without one.

    None where there is no git, no repository or no commit.
    """
    try:
        head = subprocess.run(
            ["git", "rev-parse", "--quiet", "--verify", "HEAD"], capture_output=True, text=True
        )
    except FileNotFoundError:
        return None
    if head.returncode:
        return None
    tip = branch and _git("for-each-ref", "--format=%(objectname)", f"refs/heads/{branch}")
    return tip or head.stdout.strip()


def clean_head(own: Iterable[str]) -> str:
    """The commit that is checked out; UserError if any file but a run's ``own`` results differs from it.

    The results may differ: a run that commits to another branch leaves them changed, and this run writes them
    anew.
    """
    lines = _git("status", "--porcelain", "-z", "--untracked-files=all", "--no-renames").split("\0")
    changed = sorted({line[3:] for line in lines if line} - set(own))
    if changed:
        more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        raise UserError(
            f"there are uncommitted changes ({', '.join(changed[:3])}{more}), so a commit of the "
            "results would lack what made them; commit or stash the changes, or run without a commit."
        )
    return _git("rev-parse", "HEAD")


def commit(branch: str, message: str, paths: Sequence[str], head: str) -> str | None:
    """Commit ``paths`` as they are now on ``branch``; returns the commit, None if nothing has changed.

    ``head`` is the commit whose code made the results. Raises UserError if it is no longer the one checked
    out, or if there are other changes.

    The branch is created if it does not exist. If it is not the branch checked out, neither that nor the
    working files change: the new commit is HEAD plus the results, and its parents are the branch's last
    commit and HEAD, so that it shows which code made which results.
    """
    ref = f"refs/heads/{branch}"
    if clean_head(paths) != head:
        raise UserError(
            f"HEAD is no longer {head[:7]}, as it was when the run began; nothing is committed on {branch}."
        )
    tip = _git("for-each-ref", "--format=%(objectname)", ref)
    with tempfile.TemporaryDirectory() as folder:
        index = {"GIT_INDEX_FILE": str(Path(folder, "index"))}
        _git("read-tree", "HEAD", **index)
        _git("add", "--", *(path for path in paths if Path(path).exists()), **index)
        tree = _git("write-tree", **index)
    if tree == _git("rev-parse", f"{tip or head}^{{tree}}"):
        return None
    parents = [tip or head]
    if subprocess.run(["git", "merge-base", "--is-ancestor", head, *parents]).returncode:
        parents.append(head)
    made = _git("commit-tree", tree, *(word for each in parents for word in ("-p", each)), "-m", message)
    _git("update-ref", "-m", f"commit: {message}", ref, made, tip or "0" * 40)
    if _git("rev-parse", "HEAD") == made:  # it is the branch checked out
        _git("reset", "--quiet", "--", *paths)
    return made


def _git(*arguments: str, **environment: str) -> str:
    done = subprocess.run(
        ["git", *arguments], capture_output=True, text=True, env={**os.environ, **environment}
    )
    if done.returncode:
        output = " ".join((done.stderr or done.stdout).split())
        raise UserError(f"git {arguments[0]} failed: {output or f'exit status {done.returncode}'}")
    return done.stdout.rstrip("\n")
