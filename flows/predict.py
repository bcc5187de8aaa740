"""Name the class of every picture in files, folders and archives, by a trained model: a table and a page.

As a flow, for a deployment, it is `flows.inbox`.
"""

import os
import sys
from collections.abc import Sequence

from pets.core.stage import errors_reported
from pets.prediction import models
from pets.prediction.arguments import parser


def main(words: Sequence[str]) -> None:
    """The command line. This process becomes the one that predicts, which imports PyTorch."""
    options = parser().parse_args(words)
    with errors_reported("predict"):
        models.find(options.model)  # a mistyped name is reported before PyTorch is imported
    os.execv(sys.executable, [sys.executable, "-m", "pets.prediction.predict", *words])  # noqa: S606 (no shell is wanted)


if __name__ == "__main__":
    main(sys.argv[1:])
