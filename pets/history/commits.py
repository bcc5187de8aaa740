"""Which commits a history has, and what git has of each: metrics, parameters, dvc.lock."""

import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from dvc.fs import GitFileSystem, LocalFileSystem
from dvc.repo import Repo
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pets.comparison.revisions import EVALUATIONS, WORKSPACE, Combination, Metrics, commit_of, flat
from pets.core.errors import UserError
from pets.history.lock import EMPTY, DamagedError, Lock


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
        found = _log(repo, "-n", str(last), tip, "--", f":(glob){EVALUATIONS}/**/metrics.json")
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
    inside = os.path.normpath("/" + os.path.relpath(repo.root_dir, repo.scm.root_dir))
    for sha, name in names.items():
        if sha == WORKSPACE:
            yield _commit(name, "", ["", "not committed"], _Tree(LocalFileSystem(), repo.root_dir))
        else:
            yield _commit(name, sha, about[sha], _Tree(GitFileSystem(scm=repo.scm, rev=sha), inside))


class _Tree:
    """The files of a commit or of the workspace."""

    def __init__(self, fs: Any, root: str) -> None:
        self.fs, self.root = fs, root

    def paths(self, folder: str, name: str) -> list[str]:
        """The files of that name in a folder, from the project's root."""
        start = os.path.join(self.root, folder)  # noqa: PTH118 (a path in git)
        if not self.fs.exists(start):
            return []
        return sorted(
            os.path.relpath(each, self.root) for each in self.fs.find(start) if each.endswith(f"/{name}")
        )

    def read(self, path: str) -> str | None:
        """A file's text, None where there is no such file. Raises UnicodeDecodeError."""
        try:
            with self.fs.open(os.path.join(self.root, path), "rb") as file:  # noqa: PTH118 (a path in git)
                content: bytes = file.read()
        except FileNotFoundError:
            return None
        return content.decode("utf-8")


def _commit(name: str, sha: str, about: list[str], tree: _Tree) -> Commit:
    problems = []
    metrics: dict[Combination, Metrics] = {}
    for path in tree.paths(EVALUATIONS, "metrics.json"):
        combination = Combination.of(path)
        try:
            if combination and (content := json.loads(tree.read(path) or "null")):
                metrics[combination] = flat(content)
        except (ValueError, AttributeError):
            problems.append(f"{path} of {name} is damaged, so it is left out.")
    lock = EMPTY
    sources: dict[str, str] = {}
    try:
        run, sources = _settings(tree.read("params.yaml") or "")
        metrics = {each: metrics[each] for each in metrics if _is_run(each, run)}
    except (ValueError, YAMLError):
        problems.append(f"params.yaml of {name} is damaged, so all metrics in its git tree are shown.")
    try:
        lock = Lock(tree.read("dvc.lock") or "")
        lock.evaluated  # noqa: B018 (which parses it)
    except (DamagedError, UnicodeDecodeError) as error:
        lock, reason = EMPTY, error if isinstance(error, DamagedError) else "is not valid UTF-8"
        if metrics:
            problems.append(f"dvc.lock of {name} {reason}, so its metrics are shown alone.")
    date, subject = about
    return Commit(name, sha, date, subject, metrics, sources, lock, tuple(problems))


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
    done = subprocess.run(["git", *words], cwd=repo.root_dir, capture_output=True)
    output, problem = (each.decode("utf-8", "replace") for each in (done.stdout, done.stderr))
    if done.returncode:
        raise UserError(f"git {words[0]} failed: {' '.join(problem.split())}")
    return output.rstrip("\n")
