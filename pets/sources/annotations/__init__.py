"""The lists of the Oxford-IIIT Pets, which the synthetic sample has too: a line for each picture."""

import re
from collections.abc import Iterator
from pathlib import Path

from pets.core.errors import UserError
from pets.sources import Picture

SPECIES = {"1": "cat", "2": "dog"}
LISTS = {"trainval.txt": "train", "test.txt": "test"}


def pictures(raw: Path) -> Iterator[Picture]:
    """The pictures of ``annotations/trainval.txt`` and ``test.txt``, in that order.

    The breed is the image's name up to its number; the species is given by the list. Raises UserError where a
    list is missing or malformed, or names an image that is missing or already listed.
    """
    seen: set[str] = set()
    for name, split in LISTS.items():
        file = raw / "annotations" / name
        if not file.exists():
            raise UserError(f"{file} is missing; is this the Pets' archive of annotations?")
        for number, line in enumerate(file.read_text("utf-8").splitlines(), start=1):
            if not line.strip() or line.startswith("#"):
                continue
            fields = line.split()
            where = f"{file}, line {number}"
            if len(fields) != 4 or fields[2] not in SPECIES or not re.fullmatch(r"[^/\\]+_\d+", fields[0]):
                raise UserError(f"{where}: expected 'Image_number CLASS-ID SPECIES BREED-ID', not {line!r}.")
            image_id = fields[0]
            if image_id in seen:
                raise UserError(f"{where}: {image_id} is listed twice, but an image has one split.")
            seen.add(image_id)
            path = f"images/{image_id}.jpg"
            if not (raw / path).is_file():
                raise UserError(
                    f"{where}: the label {image_id} has no image {path}; is the archive complete?"
                )
            yield Picture(image_id, path, image_id.rpartition("_")[0], SPECIES[fields[2]], split)
