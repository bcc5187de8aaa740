"""Every backbone's ideals of ImageNet classes, classified by this one."""

from pathlib import Path

import torch

from pets.backbones.base import NoClassifierError
from pets.backbones.build import build_classifier
from pets.core import params
from pets.core.files import atomic
from pets.core.stage import run_stage
from pets.engines.device import Device, Precision
from pets.engines.pytorch import Engine
from pets.visualization.readings import made, reading


def main(backbone: str) -> None:
    """Write ideal_readings/<backbone>.csv, a row for each ideal of each backbone of the run."""
    makers = params.read("run.backbones", list[str])
    weights = params.read("embed.weights", Path)
    device: Device = params.read("embed.device", Device)  # type: ignore[arg-type]
    precision: Precision = params.read("embed.precision", Precision)  # type: ignore[arg-type]
    views = params.read("embed.views", int)
    ideals = made({maker: Path("ideals", "imagenet", maker, "pictures") for maker in makers}, "imagenet")
    probabilities = torch.empty(0, 0)
    try:
        if len(ideals):  # where no class is asked for, a backbone needs no classifier
            engine = Engine(build_classifier(backbone, weights), device, precision)
            probabilities = engine.embed(list(ideals["file"]), views, "float32").double().softmax(1)
    except NoClassifierError as reason:
        print(f"{backbone} classifies none: {reason}")
        ideals = ideals.head(0)
    table = reading(ideals, backbone, probabilities)
    with atomic(Path("ideal_readings", f"{backbone}.csv")) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")
    for maker, rows in table.groupby("maker", sort=False):
        print(f"{backbone} classifies {rows['first'].mean():.0%} of {maker}'s ideals as what they are of.")


if __name__ == "__main__":
    run_stage(main)
