"""Which commits a history has, and what git has of each: metrics, parameters, dvc.lock."""

import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import isfinite
from pathlib import Path
from typing import Any

from dvc.repo import Repo
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pets.comparison.revisions import EVALUATIONS, WORKSPACE, Combination, Metrics, commit_of, flat
from pets.core.errors import UserError
from pets.history.lock import EMPTY, DamagedError, Lock

METRICS = "metrics.json"  # of each evaluation


@dataclass(frozen=True)
class Commit:
    """A commit, or the workspace, which has no sha and no date.

    ``name`` is what a reader calls it, and what git and `flows.compare` understand. ``sources``
    are those of the data sets in params.yaml. ``problems`` are sentences about what could not be read.
    """

    name: str
    sha: str
    date: str
    subject: str
    metrics: dict[Combination, Metrics]
    sources: dict[str, str]
    lock: Lock
    problems: tuple[str, ...] = ()


def chosen(repo: Repo, words: Sequence[str], last: int) -> tuple[dict[str, str], list[str]]:
    """The commits that the user asks for, the earliest first: names by sha, or ``workspace``; and notes.

    Without words the ``last`` commits up to HEAD in which a metric changed; with one revision those up to
    it; with a range its first commit and all after it; with several revisions these. History is followed
    along first parents. Raises UserError where there is no such revision or nothing is found.
    """
    if len(words) <= 1 and not any(".." in word or word == WORKSPACE for word in words):
        tip = commit_of(repo, *words or ["HEAD"])
        found = _log(repo, "-n", str(last), tip, "--", f":(glob){EVALUATIONS}/**/{METRICS}")
        notes = _end(repo, found) if len(found) < last else []
        here = [WORKSPACE] if tip == commit_of(repo, "HEAD") else []
        return {each: each[:7] if each != WORKSPACE else each for each in (*found, *here)}, notes
    names: dict[str, str] = {}
    for word in words:
        if ".." in word:
            names |= {sha: names.get(sha, sha[:7]) for sha in _range(repo, word)}
        else:
            sha = word if word == WORKSPACE else commit_of(repo, word)
            names[sha] = sha[:7] if sha.startswith(word) else word
    return names, []


def _range(repo: Repo, word: str) -> list[str]:
    start, end = (commit_of(repo, name or "HEAD") for name in re.split(r"\.{2,3}", word, maxsplit=1))
    after = _log(repo, f"{start}..{end}")
    if not after:
        raise UserError(f"the range {word} holds no commit.")
    return [start, *after]


def _end(repo: Repo, found: list[str]) -> list[str]:
    """Where a shallow clone ends, which may be why there are no more commits."""
    if _git(repo, "rev-parse", "--is-shallow-repository") != "true":
        return []
    end = found[0][:7] if found else "HEAD"
    return [f"This is a shallow clone that ends at {end}; `git fetch --unshallow` brings the rest."]


def read(repo: Repo, names: Mapping[str, str]) -> Iterator[Commit]:
    """Each commit as git has it, names by sha. What cannot be read is left out, and the commit says so."""
    shas = [sha for sha in names if sha != WORKSPACE]
    log = _git(repo, "log", "--no-walk=unsorted", "--format=%H%x00%cs%x00%s", *shas) if shas else ""
    about = {sha: rest for sha, *rest in (line.split("\0") for line in log.split("\n"))}
    for sha, name in names.items():
        if sha == WORKSPACE:
            yield _commit(name, "", ["", "not committed"], _Workspace(repo))
        else:
            yield _commit(name, sha, about[sha], _Tree(repo, sha))


class _Tree:
    """The files of a commit, read from git's objects: DVC's file system starts a thread for each file."""

    def __init__(self, repo: Repo, sha: str) -> None:
        inside = os.path.relpath(repo.root_dir, repo.scm.root_dir)
        tree = repo.scm.pygit2.repo[sha].tree
        self._tree = tree if inside == "." else tree[inside]

    def metrics(self) -> list[str]:
        """The files metrics.json of all evaluations, sorted."""
        return sorted(_below(self._tree, EVALUATIONS)) if EVALUATIONS in self._tree else []

    def read(self, path: str) -> str:
        """A file's text, empty where there is none. Raises UnicodeDecodeError."""
        content: bytes = self._tree[path].data if path in self._tree else b""
        return content.decode("utf-8")


def _below(tree: Any, path: str) -> Iterator[str]:
    """The files metrics.json in a folder of a commit."""
    for entry in tree[path]:
        if entry.type_str == "tree":
            yield from _below(tree, f"{path}/{entry.name}")
        elif entry.name == METRICS:
            yield f"{path}/{entry.name}"


class _Workspace:
    """The files as they are now."""

    def __init__(self, repo: Repo) -> None:
        self._root = Path(repo.root_dir)

    def metrics(self) -> list[str]:
        """The files metrics.json of all evaluations, sorted."""
        found = self._root.joinpath(EVALUATIONS).rglob(METRICS)
        return sorted(each.relative_to(self._root).as_posix() for each in found)

    def read(self, path: str) -> str:
        """A file's text, empty where there is none. Raises UnicodeDecodeError."""
        file = self._root / path
        return file.read_text("utf-8") if file.exists() else ""


def _commit(name: str, sha: str, about: list[str], tree: _Tree | _Workspace) -> Commit:
    problems = []
    metrics: dict[Combination, Metrics] = {}
    for path in tree.metrics():
        combination = Combination.of(path)
        try:
            if combination and (content := json.loads(tree.read(path))):
                metrics[combination] = {
                    key: value for key, value in flat(content).items() if _is_number(value)
                }
        except (ValueError, AttributeError):
            problems.append(f"{path} of {name} is damaged, so it is left out.")
    lock = EMPTY
    sources: dict[str, str] = {}
    try:
        run, sources = _settings(tree.read("params.yaml"))
        metrics = {each: metrics[each] for each in metrics if _is_run(each, run)}
    except (ValueError, YAMLError):
        problems.append(f"params.yaml of {name} is damaged, so all metrics in its git tree are shown.")
    try:
        lock = Lock(tree.read("dvc.lock"))
        lock.evaluated  # noqa: B018 (which parses it)
    except (DamagedError, UnicodeDecodeError) as error:
        lock, reason = EMPTY, error if isinstance(error, DamagedError) else "is not valid UTF-8"
        if metrics:
            problems.append(f"dvc.lock of {name} {reason}, so its metrics are shown alone.")
    date, subject = about
    return Commit(name, sha, date, subject, metrics, sources, lock, tuple(problems))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and isfinite(value)


def _is_run(combination: Combination, run: dict[str, list[str]]) -> bool:
    """Whether params.yaml has it: DVC leaves in place what an earlier one had, and git keeps it."""
    lists = zip(combination, ("datasets", "backbones", "heads"), strict=True)
    return all(name in (run.get(key) or [name]) for name, key in lists)


@cache
def _settings(text: str) -> tuple[dict[str, list[str]], dict[str, str]]:
    """The section ``run`` of params.yaml, and the source of each data set."""
    run, datasets = _section(text, "run"), _section(text, "datasets")
    return run, {name: each.get("source", "") for name, each in datasets.items() if isinstance(each, dict)}


def _section(text: str, name: str) -> dict[str, Any]:
    """A section of params.yaml, parsed alone where that is possible: the whole takes ten times as long."""
    alone = re.search(rf"^{name}:.*\n(?:(?:[ #-].*)?\n)*", f"{text}\n", re.MULTILINE)
    content = _yaml(alone[0] if alone else text)
    section = content.get(name) if isinstance(content, dict) else None
    return section if isinstance(section, dict) else {}


@cache
def _yaml(text: str) -> Any:
    return YAML(typ="safe").load(text)


def _log(repo: Repo, *words: str) -> list[str]:
    """Commits along first parents, the earliest first."""
    return _git(repo, "log", "--first-parent", "--reverse", "--format=%H", *words).split()


def _git(repo: Repo, *words: str) -> str:
    command = ["git", "-c", "log.showSignature=false", *words]
    done = subprocess.run(command, cwd=repo.root_dir, capture_output=True)
    output, problem = (each.decode("utf-8", "replace") for each in (done.stdout, done.stderr))
    if done.returncode:
        raise UserError(f"git {words[0]} failed: {' '.join(problem.split())}")
    return output.rstrip("\n")
