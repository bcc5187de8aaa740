"""Ideal pictures as a person meets them: saved as 8-bit PNG, read again, and captioned with what was read."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from stages.attacks.activation import Ideal
from stages.attacks.reread import save
from stages.files import write_json
from stages.galleries.figures import Tile, percent

HONEST = (
    "Under each picture stands the probability of its class when the saved 8-bit PNG is read again as "
    "photographs are."
)


@dataclass(frozen=True)
class Made:
    """An ideal: its file's stem, name, the words under it, its classes' places among the probabilities."""

    stem: str
    name: str
    words: str
    places: Sequence[int]
    ideal: Ideal


def stem(number: int, *names: str) -> str:
    """A file's stem for whatever a class is called; the number keeps two classes apart."""
    plain = (re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_") for name in names)
    return "-".join([f"{number:02d}", *plain])


def save_and_read(
    made: Sequence[Made], folder: Path, read: Callable[[Sequence[Path]], torch.Tensor]
) -> dict[str, float]:
    """Save what was not given up in ``folder``, and read each file's probability of its class, by stem.

    ``read``: files to probabilities [n, classes]. ideals.json beside the files says what each is to be.
    """
    folder.mkdir(parents=True)
    whole = [each for each in made if not each.ideal.given_up]
    files = [folder / f"{each.stem}.png" for each in whole]
    for each, file in zip(whole, files, strict=True):
        save(each.ideal.picture, file)
    write_json(
        folder / "ideals.json",
        [
            {"file": file.name, "name": each.name, "places": list(each.places)}
            for each, file in zip(whole, files, strict=True)
        ],
    )
    probabilities = read(files) if files else torch.zeros(0, 0)
    return {
        each.stem: float(row[list(each.places)].sum()) for each, row in zip(whole, probabilities, strict=True)
    }


def tiles(made: Sequence[Made], probabilities: dict[str, float], side: int) -> list[Tile]:
    """What stands, ``side`` pixels wide, with the words and the probability under it."""
    return [
        Tile(
            shown(each.ideal.picture, side),
            [each.words, percent(probabilities[each.stem])],
            [shown(frame, side) for frame in each.ideal.frames],
        )
        for each in made
        if each.stem in probabilities
    ]


def shown(picture: torch.Tensor, side: int) -> np.ndarray:
    """uint8 [side, side, 3] of a picture [3, height, width], uint8 or float in [0, 1]."""
    levels = picture if picture.dtype == torch.uint8 else (255 * picture).round().clamp(0, 255).byte()
    image = Image.fromarray(np.ascontiguousarray(levels.permute(1, 2, 0).cpu().numpy()))
    return np.asarray(image.resize((side, side), Image.Resampling.LANCZOS))
