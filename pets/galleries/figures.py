"""Figures: pictures side by side, each with a line or two below it, and a caption below them all.

A figure is written twice: as one contact sheet with the text drawn in, for anyone who opens the folder or is
sent the file, and as tiles with the text beside them in JSON, for the report.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pets.core.files import write_json

INK, MUTED, PAPER = "#1b1e23", "#5a606a", "#ffffff"
MARGIN, GAP = 28, 18  # pixels
TITLE, TEXT = 26, 16  # font sizes, pixels
LINE = 1.4  # line height, in font sizes
MIN_WIDTH = 720  # pixels: enough for a readable caption
QUALITY = 88  # of JPEG
FRAME, LAST_FRAME = 90, 2500  # milliseconds for a frame of an animation, and for its last one


@dataclass(frozen=True)
class Tile:
    """``picture`` uint8 [height, width, 3], ``lines`` of text below it; ``motion``: an animation's frames."""

    picture: np.ndarray
    lines: list[str]
    motion: list[np.ndarray] = field(default_factory=list)


@dataclass(frozen=True)
class Figure:
    """``name`` is the stem of its files; ``columns`` is the number of tiles in a row of the sheet."""

    name: str
    title: str
    caption: str
    tiles: list[Tile]
    columns: int


def write(folder: Path, figures: list[Figure]) -> None:
    """Write ``folder``/gallery, each figure's sheet and animations, and ``folder``/tiles, for the report.

    A figure without tiles is left out.
    """
    gallery, tiles = folder / "gallery", folder / "tiles"
    gallery.mkdir(parents=True)
    tiles.mkdir()
    described = []
    for figure in figures:
        if figure.tiles:
            sheet(figure).save(gallery / f"{figure.name}.jpg", quality=QUALITY, subsampling=0)
            described.append(_describe(figure, gallery, tiles))
    write_json(tiles / "figures.json", described)


def write_reason(folder: Path, title: str, reason: str) -> None:
    """Write an empty ``folder``/gallery; for the report, a figure whose caption says why it is empty."""
    write(folder, [])
    figure = {"name": "none", "title": title, "caption": reason, "columns": 1, "tiles": []}
    write_json(folder / "tiles" / "figures.json", [figure])


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
    texts = {key: getattr(figure, key) for key in ("name", "title", "caption", "columns")}
    return texts | {"tiles": each}


def animate(frames: list[np.ndarray], file: Path) -> None:
    """Save frames uint8 [height, width, 3] as an animated WebP that pauses on the last one and repeats."""
    first, *others = map(Image.fromarray, frames)
    durations = [FRAME] * len(others) + [LAST_FRAME]
    first.save(file, save_all=True, append_images=others, duration=durations, loop=0, quality=75, method=4)


def sheet(figure: Figure) -> Image.Image:
    """The figure as one picture with its text drawn in."""
    text, title = font(TEXT), font(TITLE)
    step = round(TEXT * LINE)
    columns = min(figure.columns, len(figure.tiles))
    wide = max(tile.picture.shape[1] for tile in figure.tiles)
    tall = max(tile.picture.shape[0] for tile in figure.tiles)
    lines = [[part for line in tile.lines for part in fitting(line, text, wide)] for tile in figure.tiles]
    below = round(GAP / 2) + step * max(map(len, lines))
    width = max(MIN_WIDTH, 2 * MARGIN + columns * wide + (columns - 1) * GAP)
    caption = fitting(figure.caption, text, width - 2 * MARGIN)
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
            draw.text((x, y + tall + GAP // 2 + at * step), line, MUTED if at else INK, text)
    for at, line in enumerate(caption):
        draw.text((MARGIN, top + rows * (tall + below + GAP) + at * step), line, MUTED, text)
    return page


def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """DejaVu Sans, which covers most alphabets, where it is installed; otherwise Pillow's own font."""
    try:
        return ImageFont.truetype("DejaVuSans.ttf", size)
    except OSError:
        return ImageFont.load_default(size)


def fitting(text: str, letters: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> list[str]:
    """The text wrapped to lines of at most ``width`` pixels; longer words are split, best after . or _."""
    lines, line = [], ""
    for word in text.split():
        longer = f"{line} {word}" if line else word
        if letters.getlength(longer) <= width:
            line = longer
            continue
        if line:
            lines.append(line)
        line = word
        while letters.getlength(line) > width and len(line) > 1:
            fit = [end for end in range(1, len(line)) if letters.getlength(line[:end]) <= width] or [1]
            end = max(line.rfind(mark, 1, fit[-1]) for mark in "._") + 1 or fit[-1]
            lines.append(line[:end])
            line = line[end:]
    return [*lines, line] if line else lines


def display_name(label: str) -> str:
    """A label as people write it: ``american_bulldog`` becomes ``American bulldog``."""
    words = label.replace("_", " ")
    return words[:1].upper() + words[1:]


def percent(probability: float) -> str:
    """A probability as captions give it; it is not rounded to 0% or 100%."""
    shown = f"{100 * probability:.1f}%"
    if shown == "100.0%" and probability < 1:
        return ">99.9%"
    return "<0.1%" if shown == "0.0%" and probability > 0 else shown
