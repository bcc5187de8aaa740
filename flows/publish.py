"""After a run that went well: its outputs to DVC's remote, its lock file and metrics into a commit."""

import os
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from flows.graph import Graph, told_in_a_line
from stages.errors import UserError


def remote(graph: Graph) -> str | None:
    """The remote that `dvc push` would use; None where none is configured."""
    name: str | None = graph.repo.config["core"].get("remote")
    return name


def push(graph: Graph) -> int:
    """`dvc push`; returns how many files it sent."""
    with told_in_a_line():
        sent: int = graph.repo.push(targets=list(graph.stages))
    return sent


def results(graph: Graph) -> list[str]:
    """What the project's runs write that git tracks: dvc.lock, and the outputs outside of DVC's cache."""
    outs = [out for stage in graph.repo.index.stages for out in stage.outs if not out.use_cache]
    return ["dvc.lock", *(os.path.relpath(out.fs_path) for out in outs)]


def ready(branch: str) -> None:
    """Raise UserError where no commit could be made on ``branch``: told before a run, not after it."""
    if subprocess.run(["git", "check-ref-format", f"refs/heads/{branch}"]).returncode:
        raise UserError(f"'{branch}' cannot be the name of a branch.")
    _git("var", "GIT_COMMITTER_IDENT")


def clean_head(own: Iterable[str]) -> str:
    """The commit that the tree stands at; UserError where anything but a run's ``own`` results differs.

    What a run writes may differ: a run on another branch's behalf leaves it so, and it is made anew.
    """
    lines = _git("status", "--porcelain", "-z", "--untracked-files=all", "--no-renames").split("\0")
    changed = sorted({line[3:] for line in lines if line} - set(own))
    if changed:
        more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        raise UserError(
            f"the tree has changes that are not committed ({', '.join(changed[:3])}{more}), so a commit of "
            "its results would not say what made them; commit or stash them, or run without a commit."
        )
    return _git("rev-parse", "HEAD")


def commit(branch: str, message: str, paths: Sequence[str], head: str) -> str | None:
    """Commit ``paths`` as they are now on ``branch``; returns the commit, None where nothing has changed.

    ``head`` is the commit whose code made the results. Raises UserError where the tree does not stand there
    any more, or has other changes.

    The branch is made where there is none. If it is not the one checked out, neither that nor the working
    files change: the commit is today's HEAD with the results laid over it, a child of both the branch's last
    commit and HEAD, so that it says which code made which results.
    """
    ref = f"refs/heads/{branch}"
    if clean_head(paths) != head:
        raise UserError(f"HEAD moved away from {head[:7]} during the run; nothing is committed on {branch}.")
    tip = _git("for-each-ref", "--format=%(objectname)", ref)
    with tempfile.TemporaryDirectory() as folder:
        index = {"GIT_INDEX_FILE": str(Path(folder, "index"))}
        _git("read-tree", "HEAD", **index)
        _git("add", "--", *(path for path in paths if Path(path).exists()), **index)
        tree = _git("write-tree", **index)
    if tree == _git("rev-parse", f"{tip or head}^{{tree}}"):
        return None
    parents = [tip or head]
    if head != parents[0] and not _is_ancestor(head, parents[0]):
        parents.append(head)
    made = _git("commit-tree", tree, *(word for each in parents for word in ("-p", each)), "-m", message)
    _git("update-ref", "-m", f"commit: {message}", ref, made, tip or "0" * 40)
    if _git("rev-parse", "HEAD") == made:  # the branch was the one checked out
        _git("reset", "--quiet", "--", *paths)
    return made


def _is_ancestor(commit: str, of: str) -> bool:
    return subprocess.run(["git", "merge-base", "--is-ancestor", commit, of]).returncode == 0


def _git(*arguments: str, **environment: str) -> str:
    done = subprocess.run(
        ["git", *arguments], capture_output=True, text=True, env={**os.environ, **environment}
    )
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).split())
        raise UserError(f"git {arguments[0]} does not succeed: {said or f'exit status {done.returncode}'}")
    return done.stdout.rstrip("\n")
