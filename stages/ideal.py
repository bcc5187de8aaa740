"""A backbone's ideals of ImageNet classes, by activation maximization through its own classifier.

Each ideal is saved as PNG and classified again as embed reads photographs. Beside the ideals there are those
of the same method without total variation and, for some classes, an ablation of the method.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from pydantic import NonNegativeInt

from pets.backbones.base import NoClassifierError
from pets.backbones.build import build_classifier
from pets.backbones.imagenet import class_places
from pets.core import params
from pets.core.files import atomic, write_json
from pets.core.params import Section
from pets.core.progress import progress_bar
from pets.core.stage import run_stage
from pets.engines.device import Device, Precision
from pets.engines.gradients import differentiable
from pets.engines.pytorch import Engine
from pets.galleries import figures
from pets.galleries.figures import percent
from pets.visualization.activation_maximization import Method, maximize
from pets.visualization.ideals import imagenet_sheets, save_and_classify, summarize, write_none

WIDTH = 256  # pixels of an ideal on the sheets


class Settings(Section):
    """The section ``ideal`` of params.yaml."""

    classes: list[str]
    ablation: list[str]
    frames: NonNegativeInt
    method: Method


def main(backbone: str) -> None:
    """Write ideals/imagenet/<backbone>."""
    settings = params.read("ideal", Settings)
    seed = params.read("seed", int)
    weights = params.read("embed.weights", Path)
    device: Device = params.read("embed.device", Device)  # type: ignore[arg-type]
    precision: Precision = params.read("embed.precision", Precision)  # type: ignore[arg-type]
    views = params.read("embed.views", int)
    classes, ablation, method = settings.classes, list(dict.fromkeys(settings.ablation)), settings.method
    places = {name: class_places(name) for name in [*classes, *ablation]}

    try:
        network = build_classifier(backbone, weights)
    except NoClassifierError as reason:
        with atomic(Path("ideals", "imagenet", backbone)) as folder:
            write_none(folder, backbone, str(reason))
        print(f"no ideals: {reason}")
        return
    logits = differentiable(network, device, "float32")  # before the engine takes the network
    engine = Engine(network, device, precision)
    known = len(set(ablation) & set(classes))  # the last picture of their ablation
    pictures = 2 * len(classes) + len(method.ablation()) * len(ablation) - known
    with progress_bar(method.steps * pictures, f"ideals of {backbone}", "steps") as progress:
        ascent = partial(
            maximize,
            logits,
            preprocessing=network.preprocessing,
            seed=seed,
            device=logits.device,
            on_step=progress.update,
        )
        sheets = imagenet_sheets(backbone, classes, ablation, method, places, settings.frames, ascent)

    def classify(files: Sequence[Path]) -> torch.Tensor:
        return engine.embed(files, views, "float32").double().softmax(1)

    everything = [each for sheet in sheets for each in sheet.ideals]
    with atomic(Path("ideals", "imagenet", backbone)) as folder:
        probabilities = save_and_classify(everything, folder / "pictures", classify)
        figures.write(folder, [sheet.figure(probabilities, WIDTH) for sheet in sheets])
        write_json(folder / "summary.json", summary := summarize(sheets, probabilities))
    ideals = summary["probability"]
    for name in classes:
        print(f"{name}: {percent(ideals[name]) if name in ideals else 'not finite'}")


if __name__ == "__main__":
    run_stage(main)
