"""Change params.yaml from the command line and keep its comments.

python -m stages.params 'run.datasets=[sample]' seed=8

A data set is added by its settings, or if it is a folder of pictures, by its path alone:

python -m stages.params datasets.flowers.source=flowers102
python -m stages.params datasets.my-photos=~/photos 'run.datasets=[my-photos]'
"""

import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

from pets import sources
from pets.core import names
from pets.core.errors import UserError
from pets.core.params import FILE, check, override
from pets.sources.image_folder import Settings, absolute


def complete(content: Any, datasets: Collection[str]) -> None:
    """Check the ``datasets`` that were set; one that is a path alone becomes an image folder."""
    for name in datasets:
        names.check_dataset(name)
        if not isinstance(entry := content["datasets"][name], dict):
            entry = content["datasets"][name] = {"source": "image-folder", "path": str(entry)}
        source = str(entry.get("source", ""))
        names.check(content, f"datasets.{name}.source", "sources", [source])
        settings = check(content, f"datasets.{name}", sources.load(source).Settings)
        if isinstance(settings, Settings) and isinstance(settings.path, Path):
            absolute(settings.path)


if __name__ == "__main__":
    try:
        override(sys.argv[1:], complete)
    except UserError as error:
        sys.exit(f"params: {error}\n{FILE} is unchanged.")
    for assignment in sys.argv[1:]:
        print(f"{FILE} has now {assignment}")
