"""The lists of the Oxford-IIIT Pets, which the synthetic sample has too: a line for each picture."""

import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pets.core.errors import UserError
from pets.sources import Picture

IMAGE = re.compile(r"[^/\\\ufffd]+_\d+")
SPECIES = {"1": "cat", "2": "dog"}
LISTS = {"trainval.txt": "train", "test.txt": "test"}
ALL = "list.txt"  # every image of both lists; checked where it exists


@dataclass(frozen=True, slots=True)
class _Line:
    file: Path
    number: int
    image: str
    class_id: str
    species_id: str
    breed_id: str

    @property
    def where(self) -> str:
        return f"{self.file}, line {self.number}"

    @property
    def breed(self) -> str:
        return self.image.rpartition("_")[0]

    @property
    def species(self) -> str:
        return SPECIES[self.species_id]


# What the lists say more than once: of two lines with the same first part, the second must be the same too.
REDUNDANT: list[Callable[[_Line], tuple[str, str]]] = [
    lambda line: (f"breed {line.breed}", f"species {line.species_id} ({line.species})"),
    lambda line: (f"breed {line.breed}", f"class {line.class_id}"),
    lambda line: (f"breed {line.breed}", f"breed id {line.breed_id}"),
    lambda line: (f"class {line.class_id}", f"breed {line.breed}"),
    lambda line: (f"{line.species} with breed id {line.breed_id}", f"breed {line.breed}"),
]


def pictures(raw: Path) -> Iterator[Picture]:
    """The pictures of ``annotations/trainval.txt`` and ``test.txt``, in that order.

    The breed is the image's name up to its number; the species is given by the list. Raises UserError where a
    list is missing or malformed, names an image that is missing, or contradicts itself or another list.
    """
    split = _once(line for name in LISTS for line in _lines(raw / "annotations" / name))
    every = _once(_lines(raw / "annotations" / ALL)) if (raw / "annotations" / ALL).exists() else split
    for image in sorted(split.keys() ^ every.keys()):
        line, lists = (split[image], ALL) if image in split else (every[image], " nor ".join(LISTS))
        raise UserError(f"{line.where}: {image} is here, but not in {lists}; add or remove it.")
    for redundancy in REDUNDANT:
        _check_agreement([*split.values(), *every.values()], redundancy)
    for line in split.values():
        path = f"images/{line.image}.jpg"
        if not (raw / path).is_file():
            raise UserError(
                f"{line.where}: the label {line.image} has no image {path}; is the archive complete?"
            )
        yield Picture(line.image, path, line.breed, line.species, LISTS[line.file.name])


def _lines(file: Path) -> Iterator[_Line]:
    if not file.exists():
        raise UserError(f"{file} is missing; is this the Pets' archive of annotations?")
    with file.open(encoding="utf-8", errors="replace") as texts:
        for number, text in enumerate(texts, start=1):
            if not text.strip() or text.startswith("#"):
                continue
            fields = text.split()
            if len(fields) != 4 or fields[2] not in SPECIES or not IMAGE.fullmatch(fields[0]):
                expected = "'Image_number CLASS-ID SPECIES BREED-ID'"
                raise UserError(f"{file}, line {number}: expected {expected}, not {text.rstrip()!r}.")
            # The few different ids are in memory once.
            yield _Line(file, number, fields[0], *map(sys.intern, fields[1:]))


def _once(lines: Iterable[_Line]) -> dict[str, _Line]:
    """The lines by image; each image has one."""
    by_image: dict[str, _Line] = {}
    for line in lines:
        first = by_image.setdefault(line.image, line)
        if first is not line:
            raise UserError(f"{line.where}: {line.image} is listed twice, before in {first.where}; keep one.")
    return by_image


def _check_agreement(lines: list[_Line], redundancy: Callable[[_Line], tuple[str, str]]) -> None:
    """Lines with the same first part of the ``redundancy`` have the same second part."""
    known: dict[str, tuple[str, str]] = {}
    for line in lines:
        key, value = redundancy(line)
        before, where = known.setdefault(key, (value, line.where))
        if before != value:
            raise UserError(f"{line.where}: {key} has {value}, but {before} in {where}; one is wrong.")
