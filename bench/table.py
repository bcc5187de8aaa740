"""A row of the table: medians of pairs run in turn, so that other load slows both sides alike."""

import statistics
import time
from collections.abc import Callable


def compare(what: str, ours: Callable[[], object], instead: Callable[[], object], pairs: int = 3) -> None:
    """Time both in turn, `pairs` times after a warm-up, and print medians and the median ratio."""
    times = [(seconds(ours), seconds(instead)) for _ in range(pairs + 1)][1:]
    mine, theirs = (statistics.median(each) for each in zip(*times, strict=True))
    ratio = statistics.median(b / a for a, b in times)
    row(what, mine, theirs, ratio)


def row(what: str, mine: float, theirs: float, ratio: float | None = None) -> None:
    """A row of two times; without a ratio, that of the two, for what is too slow to be run in pairs."""
    ratio = theirs / mine if ratio is None else ratio
    print(f"{what:44} {mine:10.2f} s {theirs:10.2f} s {ratio:7.1f}x", flush=True)


def seconds(function: Callable[[], object]) -> float:
    """How long a call takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start
