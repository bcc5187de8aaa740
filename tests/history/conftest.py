"""A history of forty commits, made once for all tests of the history."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import BACKBONE as TRAINED
from tests.conftest import Workspace
from tests.history.made import BUGGY, EMBED, EVALUATE, RIGHT, SPLIT, TRAIN, Made

RENAMED, BACKBONE = "call the data set pets", "a network that was trained"
BUG, FIX = "fit on the validation pictures alone", "fit on all of them again"
ADDED, REMOVED = "with nearest neighbours", "without the prototypes"


SEED, PENALTY, CENTRED = "seed", "train.linear.penalties", "train.prototype.centred"
UNREAD, MISTAKES, README = "audit.shown", "evaluate.mistakes", "README.md"  # no stage here reads the first
SUBJECTS = {SEED: "another seed", PENALTY: "another penalty", CENTRED: "prototypes, centred or not"}


def story(made: Made) -> None:
    """Make forty commits: ten no-ops, seeds, settings of heads, a backbone, a bug and its fix, a renaming."""
    values: dict[str, Iterator[object]] = {
        SEED: iter(range(8, 100)),
        PENALTY: iter(4 * [[0.001], [0.003], [0.01], [0.03]]),
        CENTRED: iter(["[true]", "[true, false]", "[true]"]),
        UNREAD: iter((3, 4)),
        MISTAKES: iter((2, 3)),
    }

    def several(*steps: str) -> None:
        """Commits with another value of a parameter, or one more comment in a file."""
        for each in steps:
            if each in values:
                made.set(f"{each}={next(values[each])}")
            else:
                made.append(each, "# a comment")
            made.commit(SUBJECTS.get(each, "no-op"))

    made.commit("the first results")
    several(TRAIN, SEED, PENALTY, README, CENTRED)
    made.rename("sample", "pets")
    made.commit(RENAMED)
    several(PENALTY, UNREAD, PENALTY, EVALUATE, SEED)
    made.set(f"run.backbones=[{TRAINED}]")
    made.commit(BACKBONE)
    several(MISTAKES, SEED, PENALTY, CENTRED, EMBED, PENALTY, PENALTY)
    made.edit(TRAIN, RIGHT, BUGGY)
    made.commit(BUG)
    several(PENALTY, README, SEED)
    made.edit(TRAIN, BUGGY, RIGHT)
    made.commit(FIX)
    several(PENALTY, SPLIT, CENTRED)
    made.set("run.heads=[linear, prototype, knn]")
    made.commit(ADDED)
    several(PENALTY, UNREAD, SEED, PENALTY)
    made.set("run.heads=[linear, knn]")
    made.commit(REMOVED)
    several(SEED, MISTAKES, PENALTY, PENALTY, PENALTY, SEED)
    assert len(made.shas) == 40


@pytest.fixture(scope="session")
def forty(
    new_workspace: Callable[[], Workspace],
    shared_by_processes: Callable[[str, Callable[[], Workspace]], Workspace],
) -> Made:
    """The repository of the story. Don't change it."""

    def make() -> Workspace:
        made = Made.of(new_workspace())
        story(made)
        return made

    return Made(shared_by_processes("forty", make).path)


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
