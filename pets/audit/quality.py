"""Pictures that are dark, bright, blank, blurred, tiny, or framed, by what their pixels say."""

from dataclasses import dataclass

import cv2
import numpy as np
import pandas as pd

FRAME = 4  # levels of 255: rows and columns that vary less, at the edge of a picture, are a frame


@dataclass(frozen=True)
class Kind:
    """One kind of bad picture: a measure of `measured`, and the value from which it is listed.

    ``low``: it is listed for being below the value, not above it. The score is how far beyond it is, 0 to 1.
    """

    measure: str
    limit: float
    low: bool
    text: str

    def scores(self, measures: pd.DataFrame) -> pd.Series:
        """0 to 1 for what is listed, NaN for the others."""
        values = measures[self.measure]
        beyond = (self.limit - values) / self.limit if self.low else (values - self.limit) / (1 - self.limit)
        return beyond.where(beyond > 0).clip(upper=1)


# Limits by looking: what lies just beyond them in the Pets is a borderline case.
KINDS = {
    "dark": Kind("bright_end", 0.35, True, "its brightest parts are at {:.0%}"),
    "bright": Kind("dark_end", 0.60, False, "its darkest parts are at {:.0%}"),
    "blank": Kind("contrast", 0.04, True, "its brightness varies by {:.1%}"),
    "blurred": Kind("sharpness", 0.015, True, "neighbouring pixels differ by {:.1%}"),
    "tiny": Kind("short_side", 64, True, "its short side has {:.0f} pixels"),
    "framed": Kind("frame", 0.05, False, "a plain frame takes {:.0%} of it"),
}


def measured(pixels: np.ndarray, size: tuple[int, int]) -> dict[str, float]:
    """The measures of a picture uint8 RGB [height, width, 3], shrunk from ``size`` (width, height).

    Brightness is luma, 0 to 1. ``dark_end`` and ``bright_end``: its 5th and 95th percentile; ``contrast``:
    its standard deviation; ``sharpness``: a quarter of the root mean square of its Laplacian, of
    the sharpest of nine fields, so that a blurred background does not count; ``short_side``: pixels;
    ``frame``: the share of the picture that is a plain frame at opposite edges.
    """
    luma = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    values = luma.astype(np.float32) / 255
    dark, bright = np.percentile(values, (5, 95))
    return {
        "dark_end": float(dark),
        "bright_end": float(bright),
        "contrast": float(values.std()),
        "sharpness": _sharpness(values),
        "short_side": float(min(size)),
        "frame": _frame(luma),
    }


def _sharpness(values: np.ndarray) -> float:
    if min(values.shape) < 9:
        return 1.0
    laplacian = cv2.Laplacian(values, cv2.CV_32F) / 4
    fields = [field for rows in np.array_split(laplacian, 3) for field in np.array_split(rows, 3, axis=1)]
    return max(float(np.sqrt(np.square(field).mean())) for field in fields)


def _frame(luma: np.ndarray) -> float:
    """The share of a picture that lies in plain rows and columns at both opposite edges.

    A frame ends at a line: most pixels next to it differ from it, other than beside a subject on a plain
    background.
    """
    kept = 1.0
    for lines in (luma, luma.T):
        plain = (lines.max(1).astype(int) - lines.min(1)) <= FRAME
        like = np.abs(lines.mean(1) - lines[0].mean()) <= FRAME
        inside = np.flatnonzero(~(plain & like))
        if not len(inside):
            return 0.0  # a blank picture is no frame
        first, last = int(inside[0]), len(lines) - 1 - int(inside[-1])
        level = lines[0].mean()
        ends = all((np.abs(lines[at] - level) > FRAME).mean() > 0.5 for at in (inside[0], inside[-1]))
        if min(first, last) > 0 and ends:
            kept *= 1 - (first + last) / len(lines)
    return 1 - kept
