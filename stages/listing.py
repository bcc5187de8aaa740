"""List a folder of pictures that is a data set; DVC runs this every time, as it doesn't track the folder."""

import hashlib
from pathlib import Path

from pets.core import params
from pets.core.errors import UserError
from pets.core.files import write_json
from pets.core.stage import run_stage
from pets.sources import folders
from pets.sources.image_folder import Settings, absolute


def main(dataset: str) -> None:
    """Write listings/<dataset>.json: a checksum of every file's path, size and time of its last change.

    As long as it stays the same, DVC runs nothing that depends on the folder.
    """
    settings = params.read(f"datasets.{dataset}", Settings)
    if settings.path is None:
        raise UserError(f"params.yaml: folders names '{dataset}', which has no path; take it off the list.")
    content, count = hashlib.sha256(), 0
    for path, found in folders.files(absolute(settings.path), settings.without):
        content.update(repr((path, found and (found.st_size, found.st_mtime_ns))).encode())
        count += 1
    listed = {"files": count, "checksum": content.hexdigest()}
    write_json(Path("listings", f"{dataset}.json"), listed)
    print(f"{count} files in {settings.path}")


if __name__ == "__main__":
    run_stage(main)
