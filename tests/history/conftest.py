"""A history of forty commits, made once for all tests of the history."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Workspace
from tests.history.made import Made

BUG, FIX, BACKBONE = "read every third picture too dark", "read it as before", "lite2 in place of lite0"
RENAMED, REMOVED, ADDED = "call the data set pets", "without the prototypes", "with a ridge"


def story(made: Made) -> None:
    """Make forty commits: ten no-ops, seeds, penalties, heads, a bug and its fix, a backbone, a renaming."""
    seeds = iter(range(8, 100))
    penalties = iter([[1, 5, 10], [2, 10], [1, 20], [3], [1, 3, 9], [2, 4]])
    scales = iter([[0.2, 0.25, 0.3], [0.22, 0.3]])

    def no_op(kind: int) -> None:
        if kind % 3 == 0:
            made.code["train"] += f"# {kind}\n"
        elif kind % 3 == 1:
            made.set("embed.views", made.params["embed"]["views"] + 1)  # which changes no vector
        made.commit("no-op")

    def seed(_: int) -> None:
        made.set("seed", next(seeds))
        made.commit("another seed")

    def penalty(_: int) -> None:
        made.set("train.linear.penalties", next(penalties))
        made.commit("other penalties")

    def scale(_: int) -> None:
        made.set("train.prototype.scales", next(scales))
        made.commit("other scales")

    def several(*steps: Callable[[int], None]) -> None:
        for at, step in enumerate(steps):
            step(at)

    made.commit("the first results")
    several(no_op, seed, penalty, no_op, seed, scale)
    made.code["embed"] = "wrong\n"
    made.commit(BUG)
    several(no_op, seed, penalty, seed)
    made.code["embed"] = "1\n"
    made.commit(FIX)
    several(seed, no_op, no_op, penalty, scale)
    made.set("run.heads", ["linear", "prototype", "ridge"])
    made.commit(ADDED)
    several(seed, no_op, seed)
    made.set("run.backbones", ["lite2"])
    made.commit(BACKBONE)
    several(no_op, seed, penalty, no_op, seed)
    made.set("datasets.pets", made.params["datasets"].pop("drawn"))
    made.set("run.datasets", ["pets"])
    made.commit(RENAMED)
    several(seed, no_op, seed, penalty)
    made.set("run.heads", ["linear", "ridge"])
    made.commit(REMOVED)
    several(seed, no_op, penalty, seed, seed, seed)
    assert len(made.shas) == 40


@pytest.fixture(scope="session")
def forty(
    tmp_path_factory: pytest.TempPathFactory,
    shared_by_processes: Callable[[str, Callable[[], Workspace]], Workspace],
) -> Made:
    """The repository of the story. Don't change it."""

    def make() -> Workspace:
        made = Made.at(tmp_path_factory.mktemp("history") / "forty")
        story(made)
        return Workspace(made.path)

    return Made.existing(shared_by_processes("forty", make).path)


@pytest.fixture
def here(forty: Made, monkeypatch: pytest.MonkeyPatch) -> Made:
    """The forty commits, to be read only; they are the working folder."""
    monkeypatch.chdir(forty.path)
    return forty


@pytest.fixture
def copy(forty: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    """A copy of the forty commits, to be changed; it is the working folder."""
    made = forty.copy(tmp_path / "copy")
    monkeypatch.chdir(made.path)
    return made
