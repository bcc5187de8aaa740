"""A head's ideals of each species and breed, by activation maximization.

As `stages.ideal`, through the head instead of ImageNet's classifier, with its calibrated probabilities. Where
the head has no useful gradient, the ascent follows its surrogate's. Each ideal is saved as PNG and classified
again as embed and evaluate read photographs.
"""

from pathlib import Path
from typing import Literal

import torch
from pydantic import NonNegativeInt, PositiveInt

from pets.classifier.classifier import load
from pets.core import params
from pets.core.files import atomic, write_json
from pets.core.params import Section
from pets.core.progress import progress_bar
from pets.core.stage import run_stage
from pets.dataset import Dataset
from pets.engines.device import Device
from pets.galleries import figures
from pets.galleries.figures import display_name
from pets.visualization.activation_maximization import Method, maximize
from pets.visualization.breed_ideals import sheet, targets
from pets.visualization.ideals import NamedIdeal, save_and_classify, stem

WIDTH = 192  # pixels of an ideal on the sheet


class Settings(Section):
    """The section ``ideal_breeds`` of params.yaml."""

    breeds: Literal["all"] | list[str]
    coarse_steps: NonNegativeInt
    fine_steps: PositiveInt


def main(dataset: str, backbone: str, head: str) -> None:
    """Write transfers/<dataset>/<head>/ideals/<backbone> and ideals/<dataset>/<backbone>/<head>."""
    settings = params.read("ideal_breeds", Settings)
    method = params.read("ideal.method", Method)
    method = method.model_copy(update=settings.model_dump(exclude={"breeds"}))
    seed = params.read("seed", int)
    weights = params.read("embed.weights", Path)
    device: Device = params.read("embed.device", Device)  # type: ignore[arg-type]
    data = Dataset(dataset)
    classifier = load(data.model(backbone, head), weights, device, "float32")
    places = targets(data.splits(), classifier.classes, settings.breeds, dataset)
    surrogate = classifier.head.surrogate()

    def logits(images: torch.Tensor) -> torch.Tensor:
        return surrogate.logits(classifier.features(images))

    with progress_bar(method.steps * len(places), f"ideals of {backbone} with {head}", "steps") as progress:
        found = maximize(
            logits,
            list(places.values()),
            classifier.preprocessing,
            method,
            seed=seed,
            device=classifier.device,
            on_step=progress.update,
        )
    ideals = [
        NamedIdeal(stem(at, name), name, display_name(name), places[name], ideal)
        for at, (name, ideal) in enumerate(zip(places, found, strict=True))
    ]
    with atomic(Path("transfers", dataset, head, "ideals", backbone)) as pictures:
        probabilities = save_and_classify(ideals, pictures, classifier.probabilities_of_files)
    with atomic(Path("ideals", dataset, backbone, head)) as folder:
        described = sheet(backbone, classifier.head, data.described(), method, ideals)
        figures.write(folder, [described.figure(probabilities, WIDTH)])
        own = list(probabilities.values())
        over_half = sum(each > 0.5 for each in own)
        summary = {
            "mean_probability": sum(own) / len(own) if own else 0.0,
            "over_half": over_half,
            "ideals": len(own),
            "non_finite": len(ideals) - len(own),
        }
        write_json(folder / "summary.json", summary)
    print(f"{over_half} of {len(ideals)} ideals are classified as their own class with over 50%.")


if __name__ == "__main__":
    run_stage(main)
