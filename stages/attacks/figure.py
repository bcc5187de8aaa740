"""Figures of adversarial pictures as a person looks at them: original, change, result, and a caption."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

PANEL = 320  # pixels, the side that each picture fits into
GAP = 14
STAND_IN = "The head itself has no useful gradient, so the attack follows that of a smooth stand-in."
INK, MUTED, PAPER = "#1b1e23", "#5a606a", "#ffffff"


def magnified(original: np.ndarray, result: np.ndarray) -> tuple[np.ndarray, int]:
    """The change around middle grey, as large as uint8 shows without clipping, and the factor that it took.

    Both are uint8 [height, width, 3]; no change at all has factor 1.
    """
    change = result.astype(np.int16) - original.astype(np.int16)
    largest = int(np.abs(change).max())
    factor = max(1, 127 // largest) if largest else 1
    return (128 + factor * change).clip(0, 255).astype(np.uint8), factor


def strip(panels: Sequence[np.ndarray], titles: Sequence[str], caption: str) -> Image.Image:
    """Pictures side by side, uint8 [height, width, 3], a title above each and the caption below."""
    pictures = [Image.fromarray(panel) for panel in panels]
    for picture in pictures:
        picture.thumbnail((PANEL, PANEL), Image.Resampling.LANCZOS)
    tall = max(picture.height for picture in pictures)
    width = len(pictures) * PANEL + (len(pictures) + 1) * GAP
    title_font, caption_font = ImageFont.load_default(15), ImageFont.load_default(14)
    letters = int((width - 2 * GAP) / (caption_font.getlength(caption) / len(caption)))
    lines = textwrap.wrap(caption, letters)
    sheet = Image.new("RGB", (width, 3 * GAP + 20 + tall + 20 * len(lines)), PAPER)
    drawing = ImageDraw.Draw(sheet)
    for number, (picture, title) in enumerate(zip(pictures, titles, strict=True)):
        left = GAP + number * (PANEL + GAP)
        drawing.text((left, GAP - 2), title, fill=INK, font=title_font)
        sheet.paste(picture, (left, GAP + 22))
    for number, line in enumerate(lines):
        drawing.text((GAP, 2 * GAP + 24 + tall + 20 * number), line, fill=MUTED, font=caption_font)
    return sheet


def titles(facts: Mapping[str, Any]) -> list[str]:
    """What stands above the three pictures of one attack."""
    return [
        f"{_upper(readable(facts['label']))}: {facts['truth_before']:.1%} {readable(facts['truth'])}",
        f"Change, {facts['factor']} times as strong",
        f"{facts['target_after']:.1%} {readable(facts['target'])}",
    ]


def caption(facts: Mapping[str, Any], model: str, drawn: bool) -> str:
    """All that one needs to know of one adversarial picture, in sentences."""
    label = ("drawn " if drawn else "") + readable(facts["label"])
    truth, target = readable(facts["truth"]), readable(facts["target"])
    end = f"taken for {target}" if facts["fooled"] else f"still not taken for {target}"
    return (
        f"{_upper(label)} ({facts['image_id']}), {end} by {model}: probability of "
        f"{target} "
        f"{facts['target_before']:.2%} before and {facts['target_after']:.2%} after, of {truth} "
        f"{facts['truth_before']:.2%} and {facts['truth_after']:.2%}. {facts['attack']}, targeted, "
        f"{facts['constraint']}, {facts['steps']} step{'s' if facts['steps'] != 1 else ''}"
        f"{' (given up: the loss was not a number)' if facts['given_up'] else ''}; "
        f"the change has L2 norm {facts['l2']:.3g} and at most {facts['levels']} of 255 levels, and is shown "
        f"{facts['factor']} times as strong around grey. Probabilities are those of the saved 8-bit picture."
        f"{' ' + STAND_IN if facts['stand_in'] else ''}"
    )


def readable(label: str) -> str:
    """``american_bulldog`` as people write it."""
    return label.replace("_", " ")


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]
