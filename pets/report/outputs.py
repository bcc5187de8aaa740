"""The outputs of other stages, which the report reads."""

from pathlib import Path

from pets.core.errors import UserError


def existing(file: Path) -> Path:
    """The file or folder itself. Raises UserError, which says what to do, where it is missing."""
    if not file.exists():
        raise UserError(f"{file} is missing. Run `dvc repro`, which makes what is missing.")
    return file
