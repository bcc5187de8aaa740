"""What command lines share: writing a file, and handing over to a module which imports PyTorch."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from pets.core.errors import UserError
from pets.core.files import write_text
from pets.core.stage import errors_reported


def hand_over(command: str, parser: argparse.ArgumentParser, module: str, words: Sequence[str]) -> NoReturn:
    """Check the words and the model that they name; then this process becomes ``python -m module words``."""
    from pets.prediction import models  # which imports pandas

    options = parser.parse_args(words)
    with errors_reported(command):
        models.find(options.model)
    os.execv(sys.executable, [sys.executable, "-m", module, *words])  # noqa: S606 (no shell is wanted)


def write(file: Path, text: str) -> None:
    """Write a file atomically. Raises UserError where that is not possible."""
    try:
        write_text(file, text)
    except OSError as error:
        raise UserError(f"{file} cannot be written: {error.strerror}.") from None
