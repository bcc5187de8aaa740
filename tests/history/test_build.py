"""What a user relies on in a history: which steps are marked, what is followed, and what is said."""

from pets.history.build import build
from pets.history.result import History
from tests.history.conftest import BACKBONE, BUG, FIX
from tests.history.made import Made


def built(*words: str, baseline: str | None = None, last: int = 30, patience: float = 30) -> History:
    return build(words, baseline, last, patience)


def everything(made: Made) -> str:
    """The range of all its commits."""
    return f"{made.shas[0]}..{made.shas[-1]}"


def marked(history: History) -> list[str]:
    return [history.commits[at].subject for at in history.marked]


class TestForty:
    def test_exactly_the_bug_its_fix_and_the_backbone_are_marked(self, here: Made) -> None:
        history = built(everything(here))
        assert len(history.commits) == 40
        assert marked(history) == [BUG, FIX, BACKBONE]
        assert history.headline == "3 of 39 steps beyond chance"
