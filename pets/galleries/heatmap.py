"""Heat maps, alone or over a picture, in colours that people with colour vision deficiency can read too."""

import numpy as np

# cividis at ten points (Nuñez, Anderton, Renslow: Optimizing colormaps with consideration for color vision
# deficiency, PLOS ONE 2018).
CIVIDIS = np.frombuffer(
    bytes.fromhex("00224e 123570 3b496c 575d6d 707173 8a8678 a59c74 c3b369 e1cc55 fde945"), np.uint8
).reshape(-1, 3)


def coloured(values: np.ndarray) -> np.ndarray:
    """uint8 [height, width, 3] of values [height, width] in [0, 1]: dark blue to yellow."""
    points = np.linspace(0, 1, len(CIVIDIS))
    channels = [np.interp(values, points, CIVIDIS[:, channel]) for channel in range(3)]
    return np.stack(channels, axis=-1).round().astype(np.uint8)


def overlay(picture: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The picture, uint8 [height, width, 3], in grey under the colours of ``values`` in [0, 1].

    The larger a value, the more of its colour is seen.
    """
    grey = picture.mean(-1, keepdims=True)
    share = 0.15 + 0.55 * values[..., None]
    return ((1 - share) * grey + share * coloured(values)).round().astype(np.uint8)


def enlarged(values: np.ndarray, side: int) -> np.ndarray:
    """A square map [n, n] as [side, side] by repeating its cells, so that the grid stays visible."""
    at = np.arange(side) * len(values) // side
    return values[np.ix_(at, at)]
