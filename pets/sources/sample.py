"""The built-in sample: synthetic cats and dogs, drawn by a program, not photographs; no network is needed.

37 breeds that differ as real ones do, in the official layout of the Oxford-IIIT Pets.
"""

import os
import signal
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from pets.core.params import Section
from pets.core.progress import progress_bar
from pets.sources.annotations import pictures as pictures
from pets.sources.synthetic_pets import BREEDS, draw

LABEL_NAME = "breed"
SYNTHETIC = True
FROM_IMAGENET = False


class Settings(Section):
    """An entry under ``datasets`` in params.yaml."""

    source: Literal["sample"]
    per_breed: int = Field(ge=4, le=1000)
    size: int = Field(ge=64, le=512)
    seed: int


def fetch(settings: Settings, raw: Path, archives: Path) -> list[dict[str, Any]]:
    """Draw ``per_breed`` pictures of each breed, every second one a test image. See `Source.fetch`."""
    images, annotations = raw / "images", raw / "annotations"
    images.mkdir()
    annotations.mkdir()
    wanted = [(breed, number) for breed in range(len(BREEDS)) for number in range(settings.per_breed)]
    save = partial(_save, images, settings.size, settings.seed)
    context = get_context("spawn")  # a fork would copy the locks of the caller's threads
    with (
        ProcessPoolExecutor(os.cpu_count(), context, signal.signal, (signal.SIGINT, signal.SIG_IGN)) as pool,
        progress_bar(len(wanted), "drawing synthetic pets") as progress,
    ):
        for _ in pool.map(save, wanted, chunksize=16):
            progress.update()
    _write_lists(annotations, wanted)
    return []


def _save(images: Path, size: int, seed: int, which: tuple[int, int]) -> None:
    """Draw one picture, with a generator of its own: it depends on no other picture and on no process."""
    breed, number = which
    picture = draw(BREEDS[breed], np.random.default_rng([seed, breed, number]), size)
    picture.save(images / f"{_name(which)}.jpg", quality=88)


def _name(which: tuple[int, int]) -> str:
    return f"{BREEDS[which[0]].name}_{which[1] + 1}"


def _write_lists(annotations: Path, wanted: list[tuple[int, int]]) -> None:
    """list.txt, trainval.txt and test.txt: image, class, species, breed in the species; numbered from 1."""
    cats = sum(breed.species == "cat" for breed in BREEDS)
    lines = []
    for breed, number in wanted:
        species = 1 if breed < cats else 2
        lines.append(f"{_name((breed, number))} {breed + 1} {species} {breed + 1 - (species - 1) * cats}\n")
    header = "#Image CLASS-ID SPECIES BREED ID\n#synthetic: drawn by a program, not photographs\n"
    (annotations / "list.txt").write_text(header + "".join(lines), "utf-8")
    (annotations / "trainval.txt").write_text("".join(lines[0::2]), "utf-8")
    (annotations / "test.txt").write_text("".join(lines[1::2]), "utf-8")
