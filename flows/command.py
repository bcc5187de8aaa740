"""Command lines that hand over to a module which imports PyTorch, after what needs no PyTorch is checked."""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from pets.core.stage import errors_reported
from pets.prediction import models


def hand_over(command: str, parser: argparse.ArgumentParser, module: str, words: Sequence[str]) -> NoReturn:
    """Check the words and the model that they name; then this process becomes ``python -m module words``."""
    options = parser.parse_args(words)
    with errors_reported(command):
        models.find(options.model)
    os.execv(sys.executable, [sys.executable, "-m", module, *words])  # noqa: S606 (no shell is wanted)
