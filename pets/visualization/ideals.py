"""Ideals, the results of activation maximization: saved as 8-bit PNG, classified again, shown in figures."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from pets.core.files import write_json
from pets.galleries import figures
from pets.galleries.figures import Figure, Tile, percent
from pets.images.png import save_png
from pets.visualization.activation_maximization import Ideal, Method

PROBABILITY = (
    "The percentage below each picture is the probability of its class when the saved 8-bit PNG is "
    "classified in the same way as photographs."
)


@dataclass(frozen=True)
class NamedIdeal:
    """``stem``: its file's; ``label``: the line below it; ``places``: the indices of its classes."""

    stem: str
    name: str
    label: str
    places: Sequence[int]
    ideal: Ideal


@dataclass(frozen=True)
class Sheet:
    """The ideals of one figure; see `pets.galleries.figures.Figure`."""

    name: str
    title: str
    caption: str
    ideals: list[NamedIdeal]
    columns: int

    def figure(self, probabilities: dict[str, float], side: int) -> Figure:
        """The ideals whose stem has a probability, each ``side`` pixels wide."""
        tiles = [
            Tile(
                resized(each.ideal.picture, side),
                [each.label, percent(probabilities[each.stem])],
                [resized(frame, side) for frame in each.ideal.frames],
            )
            for each in self.ideals
            if each.stem in probabilities
        ]
        lost = len(self.ideals) - len(tiles)
        note = f" Not shown: {lost} whose loss or gradient was not finite." if lost else ""
        return Figure(self.name, self.title, f"{self.caption} {PROBABILITY}{note}", tiles, self.columns)

    def by_label(self, probabilities: dict[str, float]) -> dict[str, float]:
        """The probabilities of this sheet's ideals, by their labels in place of their stems."""
        return {each.label: probabilities[each.stem] for each in self.ideals if each.stem in probabilities}


def imagenet_sheets(
    backbone: str,
    classes: Sequence[str],
    ablation: Sequence[str],
    method: Method,
    places: dict[str, list[int]],
    frames: int,
    maximize: Callable[..., list[Ideal]],
) -> list[Sheet]:
    """Sheets of the ideals of ``classes``, of the same without total variation, and of each ``ablation``.

    ``places``: each class's indices. ``frames``: of each ideal's animation. ``maximize`` (targets, method=,
    frames=) is `maximize` for the backbone.
    """

    def ideals(names: Sequence[str], by: Method, frames: int = 0) -> list[Ideal]:
        return maximize([places[name] for name in names], method=by, frames=frames)

    complete = ideals(classes, method, frames)
    rough = ideals(classes, method.model_copy(update={"total_variation": 0.0}))
    known = dict(zip(classes, complete, strict=True))

    def part(name: str, by: Method) -> Ideal:
        return known[name] if by == method and name in known else ideals([name], by)[0]

    def sheet(name: str, title: str, caption: str, found: list[Ideal], *without: str) -> Sheet:
        parts = [
            NamedIdeal(stem(at, each, *without), ", ".join([each, *without]), each, places[each], ideal)
            for at, (each, ideal) in enumerate(zip(classes, found, strict=True))
        ]
        return Sheet(name, title, caption, parts, columns=3)

    sheets = [
        sheet(
            "ideals",
            f"{backbone}'s ideals of ImageNet classes",
            "An ideal is a picture computed from noise so that the network finds a class as probable as it "
            f"can (activation maximization), here by {backbone}'s own classifier: {method.description}. "
            "How confident the network is says little about how much a person recognizes.",
            complete,
        ),
        sheet(
            "without_total_variation",
            f"{backbone}'s ideals without total variation",
            "The same ideals, from the same seed, with the weight of total variation set to 0.",
            rough,
            "without total variation",
        ),
    ]
    for number, name in enumerate(ablation):
        title = f"Ablation: what each part of the method adds to the ideal {name}"
        caption = (
            f"{backbone}'s ideal {name}, from the same seed and in as many steps: by gradient ascent alone, "
            "then with one more part of the method in each picture. The last one has all of them."
        )
        parts = [
            NamedIdeal(stem(at, name, what), f"{name}: {what}", what, places[name], part(name, by))
            for at, (what, by) in enumerate(method.ablation())
        ]
        sheets.append(Sheet(f"ablation-{number:02d}", title, caption, parts, columns=4))
    return sheets


def stem(number: int, *names: str) -> str:
    """A file's stem for a class of any name; the number keeps two classes apart."""
    plain = (re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_") for name in names)
    return "-".join([f"{number:02d}", *plain])


def save_and_classify(
    ideals: Sequence[NamedIdeal], folder: Path, classify: Callable[[Sequence[Path]], torch.Tensor]
) -> dict[str, float]:
    """Save the finite ideals in ``folder``; returns each file's probability of its class, by stem.

    ``classify``: files to probabilities [n, classes]. ideals.json beside the files says which classes they
    are of.
    """
    folder.mkdir(parents=True)
    finite = [(each, folder / f"{each.stem}.png") for each in ideals if not each.ideal.non_finite]
    for each, file in finite:
        save_png(each.ideal.picture, file)
    places = [{"file": file.name, "name": each.name, "places": list(each.places)} for each, file in finite]
    write_json(folder / "ideals.json", places)
    probabilities = classify([file for _, file in finite]) if finite else torch.zeros(0, 0)
    return {
        each.stem: float(row[list(each.places)].sum())
        for (each, _), row in zip(finite, probabilities, strict=True)
    }


def summarize(sheets: Sequence[Sheet], probabilities: dict[str, float]) -> dict[str, Any]:
    """What summary.json has of `imagenet_sheets`, given the ``probabilities`` of all ideals by stem."""
    ideals, without = (sheet.by_label(probabilities) for sheet in sheets[:2])
    lost = sum(len(sheet.ideals) for sheet in sheets) - len(probabilities)
    return {"probability": ideals, "without_total_variation": without, "non_finite": lost}


def write_none(folder: Path, backbone: str, reason: str) -> None:
    """Write what `stages.ideal` writes, without any ideal; the page says the reason."""
    figures.write_reason(folder, f"{backbone} has no ideals of ImageNet's classes", reason)
    save_and_classify([], folder / "pictures", lambda files: torch.empty(0, 0))
    summary = {"probability": {}, "without_total_variation": {}, "non_finite": 0}
    write_json(folder / "summary.json", summary)


def resized(picture: torch.Tensor, side: int) -> np.ndarray:
    """uint8 [side, side, 3] of a picture [3, height, width], uint8 or float in [0, 1]."""
    levels = picture if picture.dtype == torch.uint8 else (255 * picture).round().clamp(0, 255).byte()
    image = Image.fromarray(np.ascontiguousarray(levels.permute(1, 2, 0).cpu().numpy()))
    return np.asarray(image.resize((side, side), Image.Resampling.LANCZOS))
