"""What a backbone's layers see: feature maps of a few test pictures, and the patches that excite a channel.

The layers are the last of each size, or those that params.yaml names. A channel is as active as the mean of
its map; the most active come first. The patches come from test images drawn by seed, one patch an image.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from pydantic import PositiveInt

from stages import params
from stages.backbones.build import build
from stages.door import open_door
from stages.engines.eager import Device, device_of, keep_memory
from stages.files import read_json, whole
from stages.galleries import figures
from stages.galleries.figures import Figure, Tile
from stages.galleries.heat import coloured, enlarged
from stages.insights.layers import check, last_of_each_size, with_maps
from stages.insights.maps import Peaks, look, most_active, patch
from stages.params import Section
from stages.progress import bar

SIDE = 112  # pixels of a map and of a patch on the sheet
CELLS = 4  # a patch is this many of the layer's positions wide ...
SMALLEST = 24  # ... and no smaller than this, in pixels of the network's input


class Settings(Section):
    """The section ``features`` of params.yaml."""

    pictures: PositiveInt
    layers: dict[str, list[str]]
    channels: PositiveInt
    searched: PositiveInt
    patches: PositiveInt


def main(dataset: str, backbone: str) -> None:
    """Write features/<dataset>/<backbone>."""
    settings = params.read("features", Settings)
    seed = params.read("seed", int)
    weights = params.read("embed.weights", Path)
    wanted: Device = params.read("embed.device", Device)  # type: ignore[arg-type]
    data = Path("data", dataset)
    origin = read_json(data / "origin.json")
    of = f"{dataset}{' (drawn pets, not photographs)' if origin['drawn'] else ''}"

    network = build(backbone, weights)
    crop = network.preprocessing.crop
    device = device_of(wanted)
    if device == "cpu":
        keep_memory()
    modules = network.features.to(device)
    maps = with_maps(modules, torch.zeros(1, 3, crop, crop, device=device))
    named = settings.layers.get(backbone)
    layers = last_of_each_size(maps) if named is None else check(named, maps, backbone)

    test = test_images(data, seed).head(max(settings.pictures, settings.searched))
    files = [data / "raw" / path for path in test["path"]]
    looked: list[np.ndarray] = []
    shown: list[dict[str, torch.Tensor]] = []
    peaks: dict[str, Peaks] = {}
    with bar(len(files), f"{backbone}'s layers") as progress:
        for pixels, outputs in look(modules, files, network.preprocessing, layers):
            missing = range(min(len(pixels), settings.pictures - len(shown)))
            shown += [{name: output[at].clone() for name, output in outputs.items()} for at in missing]
            for name, output in outputs.items():
                peaks[name] = peaks[name] + Peaks.of(output) if name in peaks else Peaks.of(output)
            looked.extend(pixels)
            progress.update(len(pixels))

    pictures = list(zip(test["image_id"], test["label"], looked, shown, strict=False))
    with whole(Path("features", dataset, backbone)) as folder:
        figures.write(
            folder,
            [
                *(
                    _maps(f"maps-{at:02d}", backbone, of, image_id, label, pixels, outputs, settings.channels)
                    for at, (image_id, label, pixels, outputs) in enumerate(pictures, start=1)
                ),
                *(
                    _patches(f"patches-{at:02d}", backbone, of, name, peaks[name], looked, shown, settings)
                    for at, name in enumerate(layers, start=1)
                ),
            ],
        )
    print(f"{len(shown)} pictures through {', '.join(layers)}; patches from {len(looked)} test images.")


def test_images(data: Path, seed: int) -> pd.DataFrame:
    """The test images with label and path, in an order drawn by seed."""
    splits = pd.read_parquet(data / "splits.parquet")
    catalog = pd.read_parquet(data / "catalog.parquet", columns=["image_id", "path"])
    test = splits[splits["split"] == "test"].merge(catalog, on="image_id").sort_values("image_id")
    return test.sample(frac=1, random_state=seed).reset_index(drop=True)


def _maps(
    name: str,
    backbone: str,
    of: str,
    image_id: str,
    label: str,
    pixels: np.ndarray,
    outputs: dict[str, torch.Tensor],
    channels: int,
) -> Figure:
    tiles = []
    channels = min([channels, *map(len, outputs.values())])  # rows of one length
    for layer, output in outputs.items():
        size = f"{output.shape[-1]} x {output.shape[-1]} x {len(output)}"
        tiles.append(Tile(_resized(pixels), [layer, size]))
        for channel in most_active(output, channels):
            values = output[channel].clamp_min(0)
            values = values / values.max().clamp_min(1e-12)
            tiles.append(Tile(coloured(enlarged(values.numpy(), SIDE)), [f"{channel}"]))
    return Figure(
        name,
        f"What {backbone} sees in {image_id}",
        f"Feature maps of a test picture of {of}, {label.replace('_', ' ')}: each row is a layer (width x "
        f"height x channels) with the {channels} channels of the largest mean activation, the most active "
        "first; below each its number. Dark blue is zero or less, yellow the map's largest value.",
        tiles,
        columns=channels + 1,
    )


def _patches(
    name: str,
    backbone: str,
    of: str,
    layer: str,
    peaks: Peaks,
    looked: list[np.ndarray],
    shown: list[dict[str, torch.Tensor]],
    settings: Settings,
) -> Figure:
    side = min(len(looked[0]), max(SMALLEST, round(CELLS * len(looked[0]) / peaks.side)))
    active = dict.fromkeys(channel for maps in shown for channel in most_active(maps[layer], 2))
    tiles = []
    for channel in active:
        for rank, (picture, row, column) in enumerate(peaks.strongest(channel, settings.patches), start=1):
            cut = patch(looked[picture], row, column, peaks.side, side)
            tiles.append(Tile(_resized(cut), [f"channel {channel}" if rank == 1 else f"{rank}"]))
    return Figure(
        name,
        f"What excites channels of {layer} in {backbone}",
        f"For the channels most active in the pictures above, one a row, the patches of {len(looked):,} test "
        f"images of {of} around the channel's largest values, the largest first and one an image. A patch is "
        f"{side} pixels of the network's input wide; the layer can see beyond it.",
        tiles,
        columns=min(settings.patches, len(looked)),
    )


def _resized(pixels: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BICUBIC))


if __name__ == "__main__":
    open_door(main)
