"""Branches of a small DVC project merged with the driver: `dvc repro` ends in the lock of a fresh run."""

import copy
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dvc.repo import Repo
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from flows.merge_lock import merge
from tests.conftest import ROOT

Project = dict[str, Any]  # params and stages, as params.yaml and dvc.yaml have them
Change = Callable[[Project], object]


def stage(name: str, deps: list[str] | None = None, word: str = "") -> dict[str, Any]:
    """It writes its parameter and what it depends on."""
    files = " ".join(deps or [])
    return {
        "cmd": f"(echo {word} ${{{name}}}; cat /dev/null {files}) > {name}.txt",
        "deps": deps or [],
        "outs": [f"{name}.txt"],
    }


BASE: Project = {
    "params": dict.fromkeys("abcdx", 1),
    "stages": {
        "a": stage("a"), "b": stage("b"), "c": stage("c", ["a.txt"]), "d": stage("d", ["b.txt", "c.txt"]),
    },
}  # fmt: skip


def set_(name: str, value: int) -> Change:
    return lambda project: project["params"].update({name: value})


def put(name: str, *arguments: Any) -> Change:
    return lambda project: project["stages"].update({name: stage(name, *arguments)})


def without_d(project: Project) -> None:
    project["stages"].pop("d", None)  # which stays in dvc.lock


def nothing(project: Project) -> None:
    """Nothing differs."""


SHAPES: dict[str, tuple[Change, Change, set[str]]] = {  # ours, theirs, and what both changed differently
    "one side alone": (nothing, set_("a", 2), set()),
    "two stages, and what follows both": (set_("b", 2), set_("a", 2), {"d"}),
    "the same stage, otherwise": (set_("a", 3), set_("a", 2), {"a", "c", "d"}),
    "the same change": (set_("a", 2), set_("a", 2), set()),
    "a command and a parameter": (put("c", ["a.txt"], "new"), set_("b", 2), {"d"}),
    "a command and what it follows": (put("c", ["a.txt"], "new"), set_("a", 2), {"c", "d"}),
    "a new stage": (put("x"), set_("b", 2), set()),
    "a new stage on each side": (put("x"), put("y", ["a.txt"]), set()),
    "a new stage of one name": (put("x"), put("x", ["a.txt"]), {"x"}),
    "a removed stage": (without_d, set_("a", 2), set()),
    "a removed stage, and one elsewhere": (without_d, put("x"), set()),
    "removed on both sides": (without_d, without_d, set()),
}


class Clone:
    """A git repository with the project; the working folder has to be ``path``."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def make(self) -> None:
        """Its first commit, and git's configuration."""
        path = self.path
        self.git("init", "-q", "-b", "main")
        for key, value in (("user.name", "a"), ("user.email", "a@example.org"), ("core.editor", "true")):
            self.git("config", key, value)
        Repo.init().close()
        (path / ".gitignore").write_text("*.txt\n")
        (path / ".gitattributes").write_text((ROOT / ".gitattributes").read_text())
        installed = subprocess.run(
            [sys.executable, "-m", "flows.merge_lock", "--install"], capture_output=True, env=ENVIRONMENT
        )
        assert installed.returncode == 0, installed.stderr
        self.write(BASE)
        self.run()
        self.commit("base")

    def git(self, *words: str, fails: bool = False) -> str:
        done = subprocess.run(["git", *words], capture_output=True, text=True, env=ENVIRONMENT)
        assert fails or done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def write(self, project: Project) -> None:
        YAML().dump({**project["params"], "y": 1}, self.path / "params.yaml")
        YAML().dump({"stages": project["stages"]}, self.path / "dvc.yaml")

    def run(self) -> dict[str, Any]:
        """`dvc repro`; returns the stages of dvc.lock."""
        with Repo() as repo:
            repo.reproduce()
        return self.lock()

    def lock(self) -> dict[str, Any]:
        stages: dict[str, Any] = YAML(typ="safe").load(self.path / "dvc.lock")["stages"]
        return stages

    def commit(self, message: str) -> None:
        self.git("add", "--all")
        self.git("commit", "-q", "--allow-empty", "-m", message)


ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project, run and committed, for the tests to copy."""
    path = tmp_path_factory.mktemp("base")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        Clone(path).make()
    return path


@pytest.mark.parametrize(
    ("shape", "way"),
    [
        *((shape, "merge") for shape in SHAPES),
        ("the same stage, otherwise", "rebase"),
        ("two stages, and what follows both", "cherry-pick"),
    ],
)
def test_then_repro_ends_in_the_lock_of_a_fresh_run(
    shape: str, way: str, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(base, tmp_path, symlinks=True, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    ours, theirs, expected = SHAPES[shape]
    clone = Clone(tmp_path)
    for branch, change in (("theirs", theirs), ("ours", ours)):
        clone.git("checkout", "-q", "-b", branch, "main")
        project = copy.deepcopy(BASE)
        change(project)
        clone.write(project)
        clone.run()
        clone.commit(branch)
    said = clone.git(way, "theirs", fails=True)  # dvc.yaml or params.yaml may be in conflict
    assert "dvc.lock" not in clone.git("diff", "--name-only", "--diff-filter=U")
    assert "<<<<" not in (tmp_path / "dvc.lock").read_text()
    named = [line.partition(": changed")[2] for line in said.splitlines() if line.startswith("dvc.lock:")]
    left_out = set(named[0].split(": ")[1].split(", ")) if named else set()
    assert left_out == expected
    assert not expected & clone.lock().keys()

    both = copy.deepcopy(BASE)
    for change in (theirs, ours):  # what a person makes of the conflicts, if any
        change(both)
    clone.write(both)
    clone.git("add", "--all")
    merged = clone.run()
    shutil.rmtree(tmp_path / ".dvc/cache")
    for file in (*tmp_path.glob("*.txt"), tmp_path / "dvc.lock"):
        file.unlink()
    fresh = clone.run()
    assert {name: merged[name] for name in fresh} == fresh


locks = st.dictionaries(st.sampled_from("abcd"), st.builds(lambda cmd: {"cmd": cmd}, st.integers(1, 3)))


@given(locks, locks, locks)
def test_a_merge_takes_what_one_side_changed_and_is_the_same_from_either_side(
    base: dict[str, Any], ours: dict[str, Any], theirs: dict[str, Any]
) -> None:
    merged, left_out = merge(base, ours, theirs)
    swapped, also_left_out = merge(base, theirs, ours)
    assert (swapped, set(also_left_out)) == (merged, set(left_out))
    assert merge(base, ours, base) == (ours, [])
    assert merge(base, ours, ours) == (ours, [])
    for name, content in merged.items():
        assert content in (ours.get(name), theirs.get(name))
    for name in left_out:
        assert ours.get(name) != theirs.get(name) != base.get(name) != ours.get(name)


@pytest.mark.parametrize("content", ["stages: [", "schema: '1.0'\nstages: {}\n", "\xff"])
def test_a_damaged_lock_is_a_conflict(content: str, tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("base", "ours", "theirs")]
    for file in files:
        file.write_text("schema: '2.0'\nstages: {}\n")
    files[2].write_bytes(content.encode("latin-1"))
    before = files[1].read_bytes()
    command = [sys.executable, "-m", "flows.merge_lock", *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("merge_lock: one side's dvc.lock is")
    assert files[1].read_bytes() == before
