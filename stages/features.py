"""What a backbone's layers see: feature maps of a few test pictures, and the patches that excite a channel.

Pictures, layers and channels are those that params.yaml names; else test images drawn by seed, one layer of
each size, and its most active channels, the most active first: a channel is as active as the mean of its map.
The patches come from these pictures and further test images drawn by seed, one patch an image.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import torch
from PIL import Image
from pydantic import Field, NonNegativeInt, PositiveInt

from stages import params
from stages.backbones.build import build
from stages.door import open_door
from stages.engines.eager import Device, device_of, keep_memory
from stages.errors import UserError, nearest
from stages.files import read_json, whole
from stages.galleries import figures
from stages.galleries.figures import Figure, Tile
from stages.galleries.heat import coloured, enlarged
from stages.insights.layers import check, representative, with_maps
from stages.insights.maps import Peaks, look, most_active, patch
from stages.params import Section
from stages.progress import bar

SIDE = 112  # pixels of a map and of a patch on the sheet
CELLS = 4  # a patch is this many of the layer's positions wide ...
SMALLEST = 24  # ... and no smaller than this, in pixels of the network's input


class Settings(Section):
    """The section ``features`` of params.yaml."""

    pictures: PositiveInt
    chosen: dict[str, Annotated[list[str], Field(min_length=1)]]
    layers: dict[str, dict[str, list[NonNegativeInt]]]
    channels: PositiveInt
    searched: PositiveInt
    patches: PositiveInt


@dataclass(frozen=True)
class Seen:
    """A picture as the network sees it, uint8 [crop, crop, 3]; each layer's maps [channels, side, side]."""

    image_id: str
    label: str
    pixels: np.ndarray
    maps: dict[str, torch.Tensor]


def main(dataset: str, backbone: str) -> None:
    """Write features/<dataset>/<backbone>."""
    settings = params.read("features", Settings)
    params.check_names("features.chosen", "datasets", settings.chosen)
    params.check_names("features.layers", "backbones", settings.layers)
    seed = params.read("seed", int)
    weights = params.read("embed.weights", Path)
    wanted: Device = params.read("embed.device", Device)  # type: ignore[arg-type]
    data = Path("data", dataset)
    origin = read_json(data / "origin.json")
    of = f"{dataset}{' (drawn pets, not photographs)' if origin['drawn'] else ''}"
    chosen = list(dict.fromkeys(settings.chosen.get(dataset, [])))
    shown = len(chosen) or settings.pictures
    test = test_images(data, seed, chosen).head(max(shown, settings.searched))

    network = build(backbone, weights)
    crop = network.preprocessing.crop
    device = device_of(wanted)
    if device == "cpu":
        keep_memory()
    modules = network.features.to(device)
    maps = with_maps(modules, torch.zeros(1, 3, crop, crop, device=device))
    named = settings.layers.get(backbone) or {name: [] for name in representative(maps)}
    layers = {name: list(dict.fromkeys(channels)) for name, channels in named.items()}
    check(layers, maps, backbone)

    files = [data / "raw" / path for path in test["path"]]
    looked: list[np.ndarray] = []
    seen: list[Seen] = []
    peaks: dict[str, Peaks] = {}
    with bar(len(files), f"{backbone}'s layers") as progress:
        for pixels, outputs in look(modules, files, network.preprocessing, list(layers)):
            for at in range(min(len(pixels), shown - len(seen))):
                row = test.iloc[len(seen)]
                of_picture = {name: output[at].clone() for name, output in outputs.items()}
                seen.append(Seen(row["image_id"], row["label"], pixels[at], of_picture))
            for name, output in outputs.items():
                peaks[name] = peaks[name] + Peaks.of(output) if name in peaks else Peaks.of(output)
            looked.extend(pixels)
            progress.update(len(pixels))

    sheets = [(picture, sheet) for picture in seen for sheet in alike(layers, maps, settings.channels)]
    with whole(Path("features", dataset, backbone)) as folder:
        figures.write(
            folder,
            [
                *(
                    _maps(f"maps-{at:02d}", backbone, of, picture, sheet, settings.channels)
                    for at, (picture, sheet) in enumerate(sheets, start=1)
                ),
                *(
                    _patches(
                        f"patches-{at:02d}", backbone, of, name, channels, peaks[name], looked, seen, settings
                    )
                    for at, (name, channels) in enumerate(layers.items(), start=1)
                ),
            ],
        )
    print(f"{len(seen)} pictures through {', '.join(layers)}; patches from {len(looked)} test images.")


def test_images(data: Path, seed: int, chosen: list[str]) -> pd.DataFrame:
    """The test images with label and path: the chosen ones as named, then the others as the seed draws them.

    UserError where a name is not that of a test image.
    """
    splits = pd.read_parquet(data / "splits.parquet")
    catalog = pd.read_parquet(data / "catalog.parquet", columns=["image_id", "path", "status"])
    table = catalog.merge(splits, on="image_id", how="left").sort_values("image_id").set_index("image_id")
    test = table[table["split"] == "test"].sample(frac=1, random_state=seed)
    for name in chosen:
        if name not in table.index:
            problem = f"there is no such image; {nearest(name, test.index)}"
        elif name not in test.index:
            row = table.loc[[name]].iloc[0]
            use = f"left out ({row['status']})" if pd.isna(row["split"]) else f"in the split {row['split']}"
            problem = f"it is {use}, and only test images are shown."
        else:
            continue
        raise UserError(f"params.yaml: features.chosen names '{name}' of {data.name}: {problem}")
    return test.loc[[*chosen, *(name for name in test.index if name not in chosen)]].reset_index()


def alike(
    layers: Mapping[str, Sequence[int]], maps: Mapping[str, tuple[int, int]], count: int
) -> list[dict[str, Sequence[int]]]:
    """The layers sheet by sheet, the rows of each alike: as many channels, all chosen or all most active."""
    groups: dict[tuple[bool, int], dict[str, Sequence[int]]] = {}
    for name, channels in layers.items():
        key = bool(channels), len(channels) or min(count, maps[name][0])
        groups.setdefault(key, {})[name] = channels
    return list(groups.values())


def _maps(
    name: str, backbone: str, of: str, picture: Seen, layers: Mapping[str, Sequence[int]], count: int
) -> Figure:
    tiles = []
    for layer, chosen in layers.items():
        output = picture.maps[layer]
        size = f"{output.shape[-1]} x {output.shape[-1]} x {len(output)}"
        tiles.append(Tile(_resized(picture.pixels), [layer, size]))
        channels = chosen or most_active(output, count)
        for channel in channels:
            values = output[channel].clamp_min(0)
            values = values / values.max().clamp_min(1e-12)
            tiles.append(Tile(coloured(enlarged(values.numpy(), SIDE)), [f"{channel}"]))
    which = (
        "the channels that params.yaml names"
        if chosen
        else f"the {len(channels)} channels of the largest mean activation, the most active first"
    )
    return Figure(
        name,
        f"What {backbone} sees in {picture.image_id}",
        f"Feature maps of a test picture of {of}, {picture.label.replace('_', ' ')}: each row is a layer "
        f"(width x height x channels) with {which}; below each its number. Dark blue is zero or less, yellow "
        "the map's largest value.",
        tiles,
        columns=len(channels) + 1,
    )


def _patches(
    name: str,
    backbone: str,
    of: str,
    layer: str,
    chosen: Sequence[int],
    peaks: Peaks,
    looked: list[np.ndarray],
    seen: list[Seen],
    settings: Settings,
) -> Figure:
    side = min(len(looked[0]), max(SMALLEST, round(CELLS * len(looked[0]) / peaks.side)))
    active = dict.fromkeys(channel for picture in seen for channel in most_active(picture.maps[layer], 2))
    tiles = []
    for channel in chosen or active:
        for rank, (picture, row, column) in enumerate(peaks.strongest(channel, settings.patches), start=1):
            cut = patch(looked[picture], row, column, peaks.side, side)
            tiles.append(Tile(_resized(cut), [f"channel {channel}" if rank == 1 else f"{rank}"]))
    which = "channels that params.yaml names" if chosen else "channels most active in the pictures above"
    return Figure(
        name,
        f"What excites channels of {layer} in {backbone}",
        f"For the {which}, one a row, the patches of {len(looked):,} test images of {of} around the "
        f"channel's largest values, the largest first and one an image. A patch is {side} pixels of the "
        "network's input wide; the layer can see beyond it.",
        tiles,
        columns=min(settings.patches, len(looked)),
    )


def _resized(pixels: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BICUBIC))


if __name__ == "__main__":
    open_door(main)
