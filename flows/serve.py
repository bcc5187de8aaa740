"""A page on this machine that names the class of a photo, by a trained model; and the same as a JSON API."""

import os
import sys
from collections.abc import Sequence

from pets.core.stage import errors_reported
from pets.prediction import models
from pets.serving.arguments import parser


def main(words: Sequence[str]) -> None:
    """The command line. This process becomes the one that serves, which imports PyTorch."""
    options = parser().parse_args(words)
    with errors_reported("serve"):
        models.find(options.model)  # a mistyped name is reported before PyTorch is imported
    os.execv(sys.executable, [sys.executable, "-m", "pets.serving.serve", *words])  # noqa: S606 (no shell is wanted)


if __name__ == "__main__":
    main(sys.argv[1:])
