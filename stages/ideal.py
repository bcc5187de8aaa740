"""From noise to the picture that a backbone holds for its ideal zebra: any ImageNet class, cat, or dog.

Each picture is saved as PNG and read again the way that embed reads photographs: the probability that stands
under it is that of the file. Below it stands the same ascent without total variation; and for one class, what
each part of the method adds.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from pydantic import NonNegativeInt

from stages import params
from stages.attacks.activation import Ideal, Method, ascend
from stages.attacks.reread import reread
from stages.backbones.build import build
from stages.backbones.imagenet import class_places
from stages.door import open_door
from stages.engines.eager import Device, Engine, Precision
from stages.engines.gradients import differentiable
from stages.files import whole, write_json
from stages.galleries import figures
from stages.galleries.figures import Figure
from stages.galleries.ideals import HONEST, Made, save_and_read, stem, tiles
from stages.params import Section
from stages.progress import bar

WIDE = 256  # pixels of a picture on the sheets
ROUGH = "without total variation"


class Settings(Section):
    """The section ``ideal`` of params.yaml."""

    classes: list[str]
    taken_apart: list[str]
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
    method, rough = settings.method, settings.method.without_total_variation()
    adding_up = method.adding_up()
    places = {name: class_places(name) for name in [*settings.classes, *settings.taken_apart]}

    network = build(backbone, weights)
    if places:
        network = network.as_classifier()
    logits = differentiable(network, device, "float32")  # before the engine takes the network
    engine = Engine(network, device, precision)
    again = len(set(settings.taken_apart) & set(settings.classes))  # their whole method's picture is there
    pictures = 2 * len(settings.classes) + len(adding_up) * len(settings.taken_apart) - again
    with bar(method.steps * pictures, f"{backbone} from noise to its ideals", "steps") as progress:

        def climb(names: Sequence[str], by: Method, frames: int = 0) -> list[Ideal]:
            return ascend(
                logits,
                [places[name] for name in names],
                network.preprocessing,
                by,
                seed=seed,
                device=logits.device,
                frames=frames,
                climbed=progress.update,
            )

        names = settings.classes
        smooth = [
            Made(stem(at, name), name, name, places[name], ideal)
            for at, (name, ideal) in enumerate(zip(names, climb(names, method, settings.frames), strict=True))
        ]
        without = [
            Made(stem(at, name, ROUGH), f"{name}, {ROUGH}", name, places[name], ideal)
            for at, (name, ideal) in enumerate(zip(names, climb(names, rough), strict=True))
        ]
        known = {each.name: each.ideal for each in smooth}

        def part(name: str, by: Method) -> Ideal:
            return known[name] if by == method and name in known else climb([name], by)[0]

        apart = {
            name: [
                Made(stem(at, name, what), f"{name}: {what}", what, places[name], part(name, by))
                for at, (what, by) in enumerate(adding_up)
            ]
            for name in settings.taken_apart
        }

    def read(files: Sequence[Path]) -> torch.Tensor:
        return reread(files, engine, views, "float32").double().softmax(1)

    everything = [*smooth, *without, *(each for parts in apart.values() for each in parts)]
    with whole(Path("ideals", "imagenet", backbone)) as folder:
        probabilities = save_and_read(everything, folder / "pictures", read)
        given_up = len(everything) - len(probabilities)
        figures.write(folder, _figures(backbone, method, smooth, without, apart, probabilities, given_up))
        write_json(
            folder / "metrics.json",
            {
                "probability": {
                    each.words: probabilities[each.stem] for each in smooth if each.stem in probabilities
                },
                "without_total_variation": {
                    each.words: probabilities[each.stem] for each in without if each.stem in probabilities
                },
                "given_up": given_up,
            },
        )
    for each in smooth:
        read_as = f"{probabilities[each.stem]:.4f}" if each.stem in probabilities else "given up"
        print(f"{each.words}: {read_as}")


def _figures(
    backbone: str,
    method: Method,
    smooth: list[Made],
    without: list[Made],
    apart: dict[str, list[Made]],
    probabilities: dict[str, float],
    given_up: int,
) -> list[Figure]:
    lost = f" {given_up} in all were given up, where the loss was not a number." if given_up else ""
    return [
        Figure(
            "ideals",
            f"{backbone}'s ideals of ImageNet's classes",
            f"Activation maximization through {backbone}'s own classifier: {method.words}. " + HONEST + lost,
            tiles(smooth, probabilities, WIDE),
            columns=3,
        ),
        Figure(
            "without_total_variation",
            "The same without total variation",
            f"The ascents of {backbone}'s ideals once more, from the same seed, with the weight of total "
            "variation at 0; how sure the network is, and how much a person sees, are two things. " + HONEST,
            tiles(without, probabilities, WIDE),
            columns=3,
        ),
        *(
            Figure(
                f"taken_apart-{number:02d}",
                f"What each part of the method adds: {name}",
                f"The ideal {name} of {backbone}, from the same seed in as many steps, with one more part "
                "of the method from picture to picture; the last has the whole method. " + HONEST,
                tiles(parts, probabilities, WIDE),
                columns=4,
            )
            for number, (name, parts) in enumerate(apart.items())
        ),
    ]


if __name__ == "__main__":
    open_door(main)
