"""Feature maps of a few test images, layer by layer, and the patches with a channel's highest activation.

Images, layers and channels are those that params.yaml names; otherwise test images drawn by seed, one layer
of each size, and its most active channels, that is, those whose maps have the highest mean. The patches are
taken from these images and further test images drawn by seed.
"""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

from pydantic import Field, NonNegativeInt, PositiveInt

from pets.backbones.build import build
from pets.core import params
from pets.core.files import atomic
from pets.core.names import parts
from pets.core.params import Section
from pets.core.progress import progress_bar
from pets.core.stage import run_stage
from pets.dataset import Dataset
from pets.engines.device import Device, resolve_device
from pets.galleries import figures
from pets.visualization.feature_maps import map_figures, patch_figures, record, test_images
from pets.visualization.layers import choose_layers, in_words, with_maps


class Settings(Section):
    """The section ``features`` of params.yaml."""

    pictures: PositiveInt
    chosen: dict[str, Annotated[list[str], Field(min_length=1)]]
    layers: dict[str, dict[str, list[NonNegativeInt]]]
    channels: PositiveInt
    searched: PositiveInt
    patches: PositiveInt


def main(dataset: str, backbone: str) -> None:
    """Write features/<dataset>/<backbone>."""
    settings = params.read("features", Settings)
    params.check_names("features.chosen", "datasets", settings.chosen)
    params.check_names("features.layers", "backbones", settings.layers)
    seed = params.read("seed", int)
    weights = params.read("embed.weights", Path)
    device = resolve_device(params.read("embed.device", Device))  # type: ignore[arg-type]
    data = Dataset(dataset)
    chosen = list(dict.fromkeys(settings.chosen.get(dataset, [])))
    shown = len(chosen) or settings.pictures
    images = test_images(data, seed, chosen).head(max(shown, settings.searched))

    files = [data.raw / path for path in images["path"]]
    sheets: list[figures.Figure] = []
    for number, part in enumerate(parts(backbone)):
        network = build(part, weights, dataset)
        modules = network.features.to(device)
        maps = with_maps(modules, network.preprocessing.crop)
        layers = choose_layers(settings.layers.get(part, {}), maps, part)
        words = {name: in_words(name, list(maps)) for name in layers}
        with progress_bar(len(files), f"layers of {part}") as progress:
            found = record(modules, files, network.preprocessing, list(layers), shown, progress.update)
        made = map_figures(part, data.described(), images, found, layers, words, settings.channels)
        made += patch_figures(part, data.described(), found, layers, words, settings.patches)
        # The sheets of joined backbones have the same names; the number keeps them apart.
        sheets += [replace(each, name=f"{number}-{each.name}") if number else each for each in made]
        print(
            f"{len(found.maps)} pictures through {', '.join(layers)}; patches from {len(files)} test images."
        )
    with atomic(Path("features", dataset, backbone)) as folder:
        figures.write(folder, sheets)


if __name__ == "__main__":
    run_stage(main)
