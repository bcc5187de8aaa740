"""Figures of adversarial pictures as a person looks at them: original, change, result, and a caption."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from stages.galleries.figures import INK, MUTED, PAPER, fitting, font, percent

PANEL = 320  # pixels, the side that each picture fits into
GAP = 14
STAND_IN = "The head itself has no useful gradient, so the attack follows that of a smooth stand-in."


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
    title_font, caption_font = font(14), font(13)
    headings = [fitting(title, title_font, PANEL) for title in titles]
    top = GAP + 20 * max(map(len, headings))
    lines = fitting(caption, caption_font, width - 2 * GAP)
    sheet = Image.new("RGB", (width, top + tall + 2 * GAP + 20 * len(lines)), PAPER)
    drawing = ImageDraw.Draw(sheet)
    for number, (picture, heading) in enumerate(zip(pictures, headings, strict=True)):
        left = GAP + number * (PANEL + GAP)
        for at, line in enumerate(heading):
            drawing.text((left, GAP - 2 + 20 * at), line, fill=INK, font=title_font)
        sheet.paste(picture, (left, top + 2))
    for number, line in enumerate(lines):
        drawing.text((GAP, top + tall + GAP + 20 * number), line, fill=MUTED, font=caption_font)
    return sheet


def titles(facts: Mapping[str, Any]) -> list[str]:
    """What stands above the three pictures of one attack."""
    label, truth = readable(facts["label"]), readable(facts["truth"])
    return [
        f"{_upper(label)}: {percent(facts['truth_before'])}{f' {truth}' if truth != label else ''}",
        f"Change, {facts['factor']} times as strong",
        f"{percent(facts['target_after'])} {readable(facts['target'])}",
    ]


def caption(facts: Mapping[str, Any], model: str, drawn: bool) -> str:
    """All that one needs to know of one adversarial picture, in sentences."""
    label = ("drawn " if drawn else "") + readable(facts["label"])
    truth, target = readable(facts["truth"]), readable(facts["target"])
    end = f"taken for {target}" if facts["fooled"] else f"still not taken for {target}"
    return (
        f"{_upper(label)} ({facts['image_id']}), {end} by {model}: probability of "
        f"{target} "
        f"{percent(facts['target_before'])} before and {percent(facts['target_after'])} after, of {truth} "
        f"{percent(facts['truth_before'])} and {percent(facts['truth_after'])}. {facts['attack']}, targeted, "
        f"{facts['constraint']}, {_found(facts['steps'])}"
        f"{' (given up: the loss was not a number)' if facts['given_up'] else ''}; "
        f"the change has L2 norm {facts['l2']:.3g} and at most {facts['levels']} of 255 levels, and is shown "
        f"{facts['factor']} times as strong around grey. Probabilities after are those of the saved 8-bit "
        "picture, read again."
        f"{' ' + STAND_IN if facts['stand_in'] else ''}"
    )


def _found(step: int) -> str:
    return f"found at step {step}" if step else "where no step came closer"


def readable(label: str) -> str:
    """``american_bulldog`` as people write it."""
    return label.replace("_", " ")


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]
