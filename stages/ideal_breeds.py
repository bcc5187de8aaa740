"""From noise to the picture that a head on a backbone holds for the ideal of each species and breed.

As `stages.ideal`, through the head instead of ImageNet's classifier, with its calibrated probabilities. A
head without a useful gradient is climbed on its smooth stand-in. The probability under each picture is that
of its PNG, read again the way that embed and evaluate read photographs.
"""

from pathlib import Path
from typing import Literal

import pandas as pd
import torch
from pydantic import NonNegativeInt, PositiveInt

from stages import params
from stages.attacks import victim as victims
from stages.attacks.activation import Method, ascend
from stages.door import open_door
from stages.embeddings import store
from stages.engines.eager import Device
from stages.errors import UserError, nearest
from stages.files import read_json, whole, write_json
from stages.galleries import figures
from stages.galleries.figures import Figure
from stages.galleries.ideals import HONEST, Made, save_and_read, stem, tiles
from stages.params import Section
from stages.progress import bar
from stages.species import species_of

WIDE = 192  # pixels of a picture on the sheet
STAND_IN = "The head itself has no useful gradient, so the ascent follows that of a smooth stand-in. "


class Settings(Section):
    """The section ``ideal_breeds`` of params.yaml."""

    breeds: Literal["all"] | list[str]
    coarse_steps: NonNegativeInt
    fine_steps: PositiveInt


def main(dataset: str, backbone: str, head: str) -> None:
    """Write ideals/<dataset>/<backbone>/<head>."""
    settings = params.read("ideal_breeds", Settings)
    method = params.read("ideal.method", Method)
    method = method.model_copy(update=settings.model_dump(exclude={"breeds"}))
    seed = params.read("seed", int)
    weights = params.read("embed.weights", Path)
    device: Device = params.read("embed.device", Device)  # type: ignore[arg-type]
    origin = read_json(Path("data", dataset, "origin.json"))
    of = f"{dataset}{' (drawn pets, not photographs)' if origin['drawn'] else ''}"
    card = store.read(Path("data", dataset, "embeddings", backbone)).card
    victim = victims.load(Path("models", dataset, backbone, head), backbone, weights, device, card, "float32")
    splits = pd.read_parquet(Path("data", dataset, "splits.parquet"), columns=["label", "species"])
    targets = chosen(settings.breeds, places(splits, victim.classes), dataset)
    features = victim.classifier.features
    probe = victim.probe.smooth()

    def logits(images: torch.Tensor) -> torch.Tensor:
        return probe.calibration.logits(probe.head.logits(probe.tensors, features(images)))

    with bar(
        method.steps * len(targets), f"{backbone} and {head} from noise to their ideals", "steps"
    ) as progress:
        found = ascend(
            logits,
            list(targets.values()),
            victim.engine.preprocessing,
            method,
            seed=seed,
            device=victim.engine.device,
            climbed=progress.update,
        )
    made = [
        Made(stem(at, name), name, name.replace("_", " "), each, ideal)
        for at, ((name, each), ideal) in enumerate(zip(targets.items(), found, strict=True))
    ]
    with whole(Path("ideals", dataset, backbone, head)) as folder:
        probabilities = save_and_read(made, folder / "pictures", victim.read)
        figures.write(
            folder,
            [
                Figure(
                    "ideals",
                    f"What {backbone} and the {head} head hold for ideal",
                    f"Activation maximization through the {head} head on {backbone}'s features, fitted on "
                    f"{of}: {method.words}. "
                    + (STAND_IN if victim.probe.has_stand_in else "")
                    + HONEST
                    + _given_up(len(made) - len(probabilities)),
                    tiles(made, probabilities, WIDE),
                    columns=6,
                )
            ],
        )
        read = list(probabilities.values())
        write_json(
            folder / "metrics.json",
            {
                "mean_probability": sum(read) / len(read) if read else 0.0,
                "over_half": sum(each > 0.5 for each in read),
                "ideals": len(read),
                "given_up": len(made) - len(read),
            },
        )
    print(f"{sum(each > 0.5 for each in read)} of {len(made)} are read as their own with over 50%.")


def places(splits: pd.DataFrame, classes: list[str]) -> dict[str, list[int]]:
    """Each species, where they are known, and each breed, with its places among the head's ``classes``."""
    species = species_of(splits, classes)
    found: dict[str, list[int]] = {}
    if species.notna().all() and species.nunique() > 1:
        for place, name in enumerate(species):
            found.setdefault(name, []).append(place)
    return dict(sorted(found.items())) | {name: [place] for place, name in enumerate(classes)}


def chosen(
    names: Literal["all"] | list[str], known: dict[str, list[int]], dataset: str
) -> dict[str, list[int]]:
    """Those of the ``known`` that are named; UserError with the nearest names for one that isn't there."""
    if names == "all":
        return known
    for name in names:
        if name not in known:
            raise UserError(
                f"params.yaml: ideal_breeds.breeds names '{name}', which is not in {dataset}; "
                f"{nearest(name, known)}"
            )
    return {name: known[name] for name in names}


def _given_up(count: int) -> str:
    return f" {count} were given up, where the loss was not a number." if count else ""


if __name__ == "__main__":
    open_door(main)
