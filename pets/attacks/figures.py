"""Adversarial pictures as figures: the original, the change and the result, with captions."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from pets.attacks.gallery import Outcome, file_name
from pets.galleries.figures import Figure, Tile, display_name, percent

SIDE = 224  # pixels, the longest side of a picture in a figure
SURROGATE = "The head has no useful gradient of its own, so the attack uses that of a smooth surrogate."


def draw(outcomes: Sequence[Outcome], model: str, synthetic: bool) -> list[Figure]:
    """A figure of each outcome against ``model``; adds its ``name`` and its ``factor`` to the facts."""
    figures = []
    for number, outcome in enumerate(outcomes, start=1):
        facts = outcome.facts
        change, factor = magnified(outcome.original, outcome.result)
        facts |= {"name": f"{number:03}_{file_name(facts)}", "factor": factor}
        pictures = (outcome.original, change, outcome.result)
        label, truth = display_name(facts["label"]), display_name(facts["truth"])
        lines = [
            f"{label}: {percent(facts['truth_before'])}{f' {truth}' if truth != label else ''}",
            f"Change, {factor} times as strong",
            f"{percent(facts['target_after'])} {display_name(facts['target'])}",
        ]
        tiles = [Tile(_small(picture), [line]) for picture, line in zip(pictures, lines, strict=True)]
        title = f"{label}, {facts['goal']}: {facts['attack']}"
        figures.append(Figure(facts["name"], title, caption(facts, model, synthetic), tiles, columns=3))
    return figures


def magnified(original: np.ndarray, result: np.ndarray) -> tuple[np.ndarray, int]:
    """The change around middle grey, as strong as uint8 shows without clipping, and the factor.

    Both are uint8 [height, width, 3]; where nothing changed the factor is 1.
    """
    change = result.astype(np.int16) - original.astype(np.int16)
    largest = int(np.abs(change).max())
    factor = max(1, 127 // largest) if largest else 1
    return (128 + factor * change).clip(0, 255).astype(np.uint8), factor


def caption(facts: Mapping[str, Any], model: str, synthetic: bool) -> str:
    """Everything about one adversarial picture, in sentences."""
    label, truth, target = (display_name(facts[key]) for key in ("label", "truth", "target"))
    kind = "; synthetic, drawn by a program, not a photograph" if synthetic else ""
    found = f"found at step {facts['steps']}" if facts["steps"] else "no step came closer to the target"
    return (
        f"{label} ({facts['image_id']}{kind}), {'' if facts['fooled'] else 'still not '}classified "
        f"as {target} by {model}: probability of {target} {percent(facts['target_before'])} before and "
        f"{percent(facts['target_after'])} after the attack, of {truth} {percent(facts['truth_before'])} and "
        f"{percent(facts['truth_after'])}. {facts['attack']}, targeted, {facts['constraint']}, {found}"
        f"{' (stopped: the loss was not finite)' if facts['non_finite'] else ''}; the change has an L2 norm "
        f"of {facts['l2']:.3g} and is at most {facts['levels']} of 255 levels."
        f"{' ' + SURROGATE if facts['surrogate'] else ''}"
    )


def _small(picture: np.ndarray) -> np.ndarray:
    image = Image.fromarray(picture)
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    return np.asarray(image)
