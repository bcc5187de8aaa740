"""Feature maps of single pictures, and the patches of many in which a channel's activation is highest."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

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
class Activations:
    """What pictures give in some layers of a network.

    ``crops``: the pictures as the network sees them, uint8 [crop, crop, 3]. ``maps``: of each of the first
    pictures, each layer's feature maps [channels, side, side]. ``highest``: of all pictures, by layer, each
    channel's highest activation [n, channels], and where it is: row * side + column, int64 [n, channels].
    """

    crops: list[np.ndarray]
    maps: list[dict[str, torch.Tensor]]
    highest: dict[str, tuple[torch.Tensor, torch.Tensor]]


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
    highest = defaultdict(list)  # by layer, batch by batch
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
                highest[name].append(each.flatten(2).max(2))
            found.crops.extend(images.permute(0, 2, 3, 1).contiguous().numpy())
            on_batch(len(images))
    for name, parts in highest.items():
        values, positions = zip(*parts, strict=True)
        found.highest[name] = torch.cat(values), torch.cat(positions)
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
    test = data.shuffled("test", seed).set_index("image_id")
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
            tiles = []
            for layer, named in rows.items():
                channels = named or most_active(maps[layer], count)
                tiles += _row(layer, words[layer], crop, maps[layer], channels)
            which = (
                f"the {NAMED}"
                if named
                else f"the {len(channels)} channels with the highest mean activation, the highest first"
            )
            figures.append(
                Figure(
                    f"maps-{len(figures) + 1:02d}",
                    f"Feature maps of {backbone} for {image['image_id']}",
                    f"A test image of {dataset}, labelled {image['label'].replace('_', ' ')}. Each row is a "
                    f"layer (width×height×channels) and shows {which}; below each map is its channel's "
                    "number. Dark blue is zero or less, yellow the map's largest value.",
                    tiles,
                    columns=len(channels) + 1,
                )
            )
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


def _row(layer: str, words: str, crop: np.ndarray, maps: torch.Tensor, channels: Sequence[int]) -> list[Tile]:
    """The picture, and its maps [channels, side, side] in some channels; ``words`` say where the layer is."""
    tiles = [Tile(_resized(crop), [words, f"{maps.shape[-1]}×{maps.shape[-1]}×{len(maps)}", layer])]
    for channel in channels:
        values = maps[channel].clamp_min(0)
        values = values / values.max().clamp_min(1e-12)
        tiles.append(Tile(coloured(enlarged(values.numpy(), WIDTH)), [f"{channel}"]))
    return tiles


def patch_figures(
    backbone: str, dataset: str, found: Activations, layers: Layers, words: Mapping[str, str], count: int
) -> list[Figure]:
    """For each layer the ``count`` patches with the highest activations of each of its channels.

    Where ``layers`` gives no channels, they are the two most active ones of each picture that kept its maps.
    """
    crop = len(found.crops[0])
    figures = []
    for number, (layer, named) in enumerate(layers.items(), start=1):
        values, positions = found.highest[layer]
        grid = found.maps[0][layer].shape[-1]
        side = min(crop, max(SMALLEST_PATCH, round(POSITIONS * crop / grid)))
        active = dict.fromkeys(channel for maps in found.maps for channel in most_active(maps[layer], 2))
        tiles = []
        for channel in named or active:
            pictures = values[:, channel].argsort(descending=True, stable=True)[:count].tolist()
            for rank, picture in enumerate(pictures, start=1):
                row, column = divmod(int(positions[picture, channel]), grid)
                pixels = patch(found.crops[picture], row, column, grid, side)
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
