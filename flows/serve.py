"""A page on this machine that names the class of a photo, by a trained model; and the same as a JSON API."""

import subprocess
import sys
from collections.abc import Sequence

from pets.core.stage import errors_reported
from pets.prediction import models
from pets.serving.arguments import parser


def main(words: Sequence[str]) -> int:
    """The command line. What serves is a process of its own, because it imports PyTorch."""
    options = parser().parse_args(words)
    with errors_reported("serve"):
        models.find(options.model)  # a mistyped name is reported before PyTorch is imported
    command = [sys.executable, "-m", "pets.serving.serve", *words]
    with subprocess.Popen(command) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:  # the process got it, too, and ends by itself
            return process.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
