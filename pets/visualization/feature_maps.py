"""Feature maps of single pictures, and the patches of many in which a channel's activation is highest."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import nn

from pets.core.errors import UserError, nearest
from pets.dataset import Dataset
from pets.galleries.figures import Figure, Tile
from pets.galleries.heatmap import coloured, enlarged
from pets.images.batches import batches
from pets.images.preprocessing import Preprocessing
from pets.visualization.layers import as_maps, recorded

BATCH = 16
WIDTH = 112  # pixels of a map and of a patch on the sheet
POSITIONS = 4  # a patch is this many of the layer's positions wide ...
SMALLEST_PATCH = 24  # ... and no smaller than this, in pixels of the network's input
NAMED, MOST_ACTIVE = "channels named in params.yaml", "channels most active in the images with feature maps"

Layers = Mapping[str, Sequence[int]]  # each layer's channels to be shown; none: its most active ones


@dataclass(frozen=True)
class HighestActivations:
    """For each of n pictures and each channel of a layer: its highest activation, and at which position.

    ``values`` [n, channels]; ``positions`` int64 [n, channels], row * side + column on a grid ``side`` wide.
    """

    values: torch.Tensor
    positions: torch.Tensor
    side: int

    @classmethod
    def find(cls, maps: torch.Tensor) -> "HighestActivations":
        """In feature maps [n, channels, side, side]."""
        values, positions = maps.flatten(2).max(2)
        return cls(values, positions, maps.shape[-1])

    def __add__(self, other: "HighestActivations") -> "HighestActivations":
        values = torch.cat([self.values, other.values])
        return HighestActivations(values, torch.cat([self.positions, other.positions]), self.side)

    def top(self, channel: int, count: int) -> list[tuple[int, int, int]]:
        """Picture, row and column of the channel's highest activations, one a picture, the highest first."""
        order = self.values[:, channel].argsort(descending=True, stable=True)[:count].tolist()
        return [(at, *divmod(int(self.positions[at, channel]), self.side)) for at in order]


@dataclass(frozen=True)
class Activations:
    """What pictures give in some layers of a network.

    ``crops``: the pictures as the network sees them, uint8 [crop, crop, 3]. ``maps``: of each of the first
    pictures, each layer's feature maps [channels, side, side]. ``highest``: of all pictures, by layer.
    """

    crops: list[np.ndarray]
    maps: list[dict[str, torch.Tensor]]
    highest: dict[str, HighestActivations]


def record(
    network: nn.Module,
    files: Sequence[Path],
    preprocessing: Preprocessing,
    layers: Sequence[str],
    with_maps: int,
    on_batch: Callable[[int], object] = lambda pictures: None,
) -> Activations:
    """The activations of picture files; the first ``with_maps`` of them keep their feature maps.

    ``layers``: some of those that `pets.visualization.layers.with_maps` finds. ``on_batch`` is called after
    each batch with the number of pictures in it.
    """
    found = Activations([], [], {})
    device = next(network.parameters()).device
    with torch.inference_mode(), recorded(network, layers, copied=True) as outputs:
        for (images,) in batches(files, preprocessing, 1, BATCH):
            network(preprocessing.normalize(images.to(device).float() / 255))
            maps = {
                name: each.float().cpu() for name in layers if (each := as_maps(outputs[name])) is not None
            }
            for at in range(min(len(images), with_maps - len(found.maps))):
                found.maps.append({name: each[at].clone() for name, each in maps.items()})
            for name, each in maps.items():
                highest = HighestActivations.find(each)
                found.highest[name] = found.highest[name] + highest if name in found.highest else highest
            found.crops.extend(images.permute(0, 2, 3, 1).contiguous().numpy())
            on_batch(len(images))
    return found


def most_active(maps: torch.Tensor, count: int) -> list[int]:
    """The channels of one picture's maps [channels, side, side] with the highest mean, the highest first."""
    return maps.mean((1, 2)).argsort(descending=True, stable=True)[:count].tolist()


def patch(pixels: np.ndarray, row: int, column: int, grid: int, side: int) -> np.ndarray:
    """A square of ``side`` pixels around a position of a layer's grid, moved inside the picture at its edges.

    ``pixels`` [crop, crop, 3]; the grid has ``grid`` positions a side.
    """
    crop = len(pixels)
    top, left = (min(max(0, round((at + 0.5) * crop / grid - side / 2)), crop - side) for at in (row, column))
    return pixels[top : top + side, left : left + side]


def test_images(data: Dataset, seed: int, chosen: Sequence[str]) -> pd.DataFrame:
    """The test images with label and path: the ``chosen`` ones in their order, then the others, shuffled.

    UserError where a name is not that of a test image.
    """
    test = data.test_images(seed).set_index("image_id")
    for name in chosen:
        if name in test.index:
            continue
        rows = data.catalog("image_id", "status").merge(data.splits(), on="image_id", how="left")
        rows = rows[rows["image_id"] == name]
        if rows.empty:
            problem = f"there is no such image; {nearest(name, test.index)}"
        else:
            row = rows.iloc[0]
            use = f"left out ({row['status']})" if pd.isna(row["split"]) else f"in the split {row['split']}"
            problem = f"it is {use}, and only test images are shown."
        raise UserError(f"params.yaml: features.chosen names '{name}' of {data.name}: {problem}")
    return test.loc[[*chosen, *(name for name in test.index if name not in chosen)]].reset_index()


def map_figures(
    backbone: str,
    dataset: str,
    images: pd.DataFrame,
    found: Activations,
    layers: Layers,
    words: Mapping[str, str],
    count: int,
) -> list[Figure]:
    """Feature maps of the first ``images`` (image_id, label), those that kept them.

    Where ``layers`` gives no channels, the ``count`` most active are shown. ``dataset`` as captions name it;
    ``words``: where each layer is.
    """
    figures: list[Figure] = []
    for image, crop, maps in zip(images.to_dict("records"), found.crops, found.maps, strict=False):
        for rows in equally_long(layers, {name: len(each) for name, each in maps.items()}, count):
            name = f"maps-{len(figures) + 1:02d}"
            figures.append(_map_figure(name, backbone, dataset, image, crop, maps, rows, words, count))
    return figures


def equally_long(
    layers: Mapping[str, Sequence[int]], available: Mapping[str, int], count: int
) -> list[dict[str, Sequence[int]]]:
    """The layers grouped by how many channels are shown, and whether params.yaml names these.

    ``available``: how many channels each layer has.
    """
    groups: dict[tuple[bool, int], dict[str, Sequence[int]]] = {}
    for name, channels in layers.items():
        key = bool(channels), len(channels) or min(count, available[name])
        groups.setdefault(key, {})[name] = channels
    return list(groups.values())


def _map_figure(
    name: str,
    backbone: str,
    dataset: str,
    image: Mapping[Any, Any],
    crop: np.ndarray,
    maps: Mapping[str, torch.Tensor],
    layers: Layers,
    words: Mapping[str, str],
    count: int,
) -> Figure:
    tiles = []
    for layer, named in layers.items():
        size = f"{maps[layer].shape[-1]}×{maps[layer].shape[-1]}×{len(maps[layer])}"
        tiles.append(Tile(_resized(crop), [words[layer], size, layer]))
        channels = named or most_active(maps[layer], count)
        for channel in channels:
            values = maps[layer][channel].clamp_min(0)
            values = values / values.max().clamp_min(1e-12)
            tiles.append(Tile(coloured(enlarged(values.numpy(), WIDTH)), [f"{channel}"]))
    which = (
        f"the {NAMED}"
        if named
        else f"the {len(channels)} channels with the highest mean activation, the highest first"
    )
    return Figure(
        name,
        f"Feature maps of {backbone} for {image['image_id']}",
        f"A test image of {dataset}, labelled {image['label'].replace('_', ' ')}. Each row is a layer "
        f"(width×height×channels) and shows {which}; below each map is its channel's number. Dark blue is "
        "zero or less, yellow the map's largest value.",
        tiles,
        columns=len(channels) + 1,
    )


def patch_figures(
    backbone: str, dataset: str, found: Activations, layers: Layers, words: Mapping[str, str], count: int
) -> list[Figure]:
    """For each layer the ``count`` patches with the highest activations of each of its channels.

    Where ``layers`` gives no channels, they are the two most active ones of each picture that kept its maps.
    """
    crop = len(found.crops[0])
    figures = []
    for number, (layer, named) in enumerate(layers.items(), start=1):
        highest = found.highest[layer]
        side = min(crop, max(SMALLEST_PATCH, round(POSITIONS * crop / highest.side)))
        active = dict.fromkeys(channel for maps in found.maps for channel in most_active(maps[layer], 2))
        tiles = []
        for channel in named or active:
            for rank, (picture, row, column) in enumerate(highest.top(channel, count), start=1):
                pixels = patch(found.crops[picture], row, column, highest.side, side)
                tiles.append(Tile(_resized(pixels), [f"channel {channel}" if rank == 1 else f"{rank}"]))
        figures.append(
            Figure(
                f"patches-{number:02d}",
                f"What activates channels of {backbone}: {words[layer]} ({layer})",
                f"Each row is one of the {NAMED if named else MOST_ACTIVE}, with "
                f"the patches of {len(found.crops):,} test images of {dataset} where its activation is "
                f"highest: the highest first, at most one patch per image. A patch is {side} pixels of the "
                "network's input wide; what the layer sees may extend beyond it.",
                tiles,
                columns=min(count, len(found.crops)),
            )
        )
    return figures


def _resized(pixels: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(pixels).resize((WIDTH, WIDTH), Image.Resampling.BICUBIC))
