"""Figures: pictures side by side, each with a line or two under it, and a caption under all.

One description of a figure serves twice: as one contact sheet with the words drawn in, for whoever opens the
folder or gets the picture alone, and as tiles with the words beside them, for the report page.
"""

from dataclasses import dataclass, field
from pathlib import Path
from textwrap import wrap
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from stages.files import write_json

INK, MUTED, PAPER = "#1b1e23", "#5a606a", "#ffffff"
MARGIN, GAP = 28, 18  # pixels
TITLE, WORDS = 26, 16  # heights of letters, pixels
LINE = 1.4
NARROWEST = 720  # pixels: a sheet is never narrower, so that its caption can be read
QUALITY = 88  # of JPEG
FRAME, REST = 90, 2500  # milliseconds for a frame of an animation, and for its last


@dataclass(frozen=True)
class Tile:
    """``picture`` uint8 [height, width, 3], ``lines`` under it, and ``motion``, the frames that led to it."""

    picture: np.ndarray
    lines: list[str]
    motion: list[np.ndarray] = field(default_factory=list)


@dataclass(frozen=True)
class Figure:
    """``name`` is its files' stem; ``columns`` the tiles in a row of the sheet."""

    name: str
    title: str
    caption: str
    tiles: list[Tile]
    columns: int


def write(folder: Path, figures: list[Figure]) -> None:
    """Make ``folder``/gallery: a sheet a figure and its animations; and ``folder``/tiles, for the page."""
    gallery, tiles = folder / "gallery", folder / "tiles"
    gallery.mkdir(parents=True)
    tiles.mkdir()
    described = []
    for figure in figures:
        if figure.tiles:
            sheet(figure).save(gallery / f"{figure.name}.jpg", quality=QUALITY, subsampling=0)
            described.append(_describe(figure, gallery, tiles))
    write_json(tiles / "figures.json", described)


def _describe(figure: Figure, gallery: Path, tiles: Path) -> dict[str, Any]:
    each = []
    for number, tile in enumerate(figure.tiles, start=1):
        file = tiles / f"{figure.name}-{number:02d}.jpg"
        Image.fromarray(tile.picture).save(file, quality=QUALITY, subsampling=0)
        described = {"file": file.name, "lines": tile.lines}
        if tile.motion:
            motion = f"{figure.name}-{number:02d}.webp"
            animate(tile.motion, tiles / motion)
            (gallery / motion).write_bytes((tiles / motion).read_bytes())
            described["motion"] = motion
        each.append(described)
    return {
        "name": figure.name,
        "title": figure.title,
        "caption": figure.caption,
        "columns": figure.columns,
        "tiles": each,
    }


def animate(frames: list[np.ndarray], file: Path) -> None:
    """An animated WebP of frames uint8 [height, width, 3] that rests on its last one, and starts again."""
    first, *others = map(Image.fromarray, frames)
    durations = [FRAME] * len(others) + [REST]
    first.save(file, save_all=True, append_images=others, duration=durations, loop=0, quality=75, method=4)


def sheet(figure: Figure) -> Image.Image:
    """The figure as one picture, its words drawn in."""
    words, title = font(WORDS), font(TITLE)
    step = round(WORDS * LINE)
    columns = min(figure.columns, len(figure.tiles))
    wide = max(tile.picture.shape[1] for tile in figure.tiles)
    tall = max(tile.picture.shape[0] for tile in figure.tiles)
    lines = [[part for line in tile.lines for part in fitting(line, words, wide)] for tile in figure.tiles]
    below = round(GAP / 2) + step * max(map(len, lines))
    width = max(NARROWEST, 2 * MARGIN + columns * wide + (columns - 1) * GAP)
    caption = fitting(figure.caption, words, width - 2 * MARGIN)
    heading = fitting(figure.title, title, width - 2 * MARGIN)
    rows = -(-len(figure.tiles) // columns)
    top = MARGIN + round(TITLE * LINE) * len(heading) + GAP
    height = top + rows * (tall + below + GAP) + step * len(caption) + MARGIN
    page = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(page)
    for at, line in enumerate(heading):
        draw.text((MARGIN, MARGIN + at * round(TITLE * LINE)), line, INK, title)
    for number, tile in enumerate(figure.tiles):
        x = MARGIN + number % columns * (wide + GAP)
        y = top + number // columns * (tall + below + GAP)
        page.paste(Image.fromarray(tile.picture), (x, y))
        for at, line in enumerate(lines[number]):
            draw.text((x, y + tall + GAP // 2 + at * step), line, MUTED if at else INK, words)
    for at, line in enumerate(caption):
        draw.text((MARGIN, top + rows * (tall + below + GAP) + at * step), line, MUTED, words)
    return page


def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """DejaVu Sans, which has most alphabets, where the machine has it; else the letters Pillow brings."""
    try:
        return ImageFont.truetype("DejaVuSans.ttf", size)
    except OSError:
        return ImageFont.load_default(size)


def fitting(text: str, letters: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> list[str]:
    """The text in lines that are no wider than ``width`` pixels."""
    most = max(8, int(len(text) * width / max(1.0, letters.getlength(text))))
    while most > 8 and any(letters.getlength(line) > width for line in wrap(text, most)):
        most -= 1
    return wrap(text, most)


def percent(probability: float) -> str:
    """A probability as captions give it: what is nearly certain isn't rounded to certainty."""
    said = f"{100 * probability:.1f}%"
    if said == "100.0%" and probability < 1:
        return ">99.9%"
    return "<0.1%" if said == "0.0%" and probability > 0 else said
