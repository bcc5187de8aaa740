"""Feature maps of pictures, and where in which picture a channel is excited most."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from stages.images.batches import batches
from stages.images.preprocessing import Preprocessing
from stages.insights.layers import as_maps, recorded

BATCH = 16


def look(
    network: nn.Module, files: Sequence[Path], preprocessing: Preprocessing, layers: Sequence[str]
) -> Iterator[tuple[np.ndarray, dict[str, torch.Tensor]]]:
    """Batch by batch: the crops that the network sees, uint8 [n, crop, crop, 3], and each layer's maps.

    ``layers``: some of those `with_maps` finds. Maps are float32 [n, channels, positions, positions].
    """
    device = next(network.parameters()).device
    with torch.inference_mode(), recorded(network, layers, copied=True) as outputs:
        for (images,) in batches(files, preprocessing, 1, BATCH):
            network(preprocessing.normalize(images.to(device).float() / 255))
            pixels = images.permute(0, 2, 3, 1).contiguous().numpy()
            maps = {name: as_maps(outputs[name]) for name in layers}
            yield pixels, {name: each.float().cpu() for name, each in maps.items() if each is not None}


@dataclass(frozen=True)
class Peaks:
    """For each of n pictures and each channel of a layer: its largest value, and at which position.

    ``values`` [n, channels]; ``positions`` int64 [n, channels], row * side + column on a grid ``side`` wide.
    """

    values: torch.Tensor
    positions: torch.Tensor
    side: int

    @classmethod
    def of(cls, maps: torch.Tensor) -> "Peaks":
        """Of maps [n, channels, side, side]."""
        values, positions = maps.flatten(2).max(2)
        return cls(values, positions, maps.shape[-1])

    def __add__(self, other: "Peaks") -> "Peaks":
        values = torch.cat([self.values, other.values])
        return Peaks(values, torch.cat([self.positions, other.positions]), self.side)

    def strongest(self, channel: int, count: int) -> list[tuple[int, int, int]]:
        """Picture, row and column of the channel's largest values, one a picture, the largest first."""
        order = self.values[:, channel].argsort(descending=True, stable=True)[:count].tolist()
        return [(at, *divmod(int(self.positions[at, channel]), self.side)) for at in order]


def most_active(maps: torch.Tensor, count: int) -> list[int]:
    """The channels of one picture's maps [channels, side, side] with the largest mean, the largest first."""
    return maps.mean((1, 2)).argsort(descending=True, stable=True)[:count].tolist()


def patch(pixels: np.ndarray, row: int, column: int, grid: int, side: int) -> np.ndarray:
    """A square of ``side`` pixels around a position of a layer's grid, moved inside the picture at its edges.

    ``pixels`` [crop, crop, 3]; the grid has ``grid`` positions a side.
    """
    crop = len(pixels)
    top, left = (min(max(0, round((at + 0.5) * crop / grid - side / 2)), crop - side) for at in (row, column))
    return pixels[top : top + side, left : left + side]
