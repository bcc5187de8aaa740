"""A progress bar with a rate: refreshed often in a terminal, and every ten seconds in a log."""

import sys
from typing import Any

from tqdm import tqdm


def progress_bar(total: int, what: str, unit: str = "images", delay: float = 0) -> "tqdm[Any]":
    """A tqdm bar on standard error, after ``delay`` seconds; use it in a ``with``, and ``update`` it."""
    return tqdm(
        total=total,
        desc=what,
        unit=f" {unit}",
        mininterval=0.1 if sys.stderr.isatty() else 10,
        dynamic_ncols=True,
        delay=delay,
    )
