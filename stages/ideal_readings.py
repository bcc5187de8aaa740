"""Is one network's ideal zebra another's? Every ideal of the run, read by every backbone of the run.

ImageNet's classes are read by each backbone's own classifier, a data set's breeds by the same kind of head
that made them, on the reader's features. It is a stage of its own so that one more backbone makes no ideal
anew.
"""

from pathlib import Path

import pandas as pd
import torch

from stages import params
from stages.attacks.reread import reread
from stages.attacks.victim import load_probe
from stages.backbones.build import build
from stages.door import open_door
from stages.engines.eager import Device, Engine, Precision
from stages.files import read_json, whole, write_json
from stages.params import Run

IDEALS = Path("ideals")
COLUMNS = ["group", "maker", "reader", "name", "probability", "first"]


def main() -> None:
    """Write ideal_readings/readings.csv, a row for each ideal and reader, and metrics.json, their means."""
    run = params.read("run", Run)
    weights = params.read("embed.weights", Path)
    device: Device = params.read("embed.device", Device)  # type: ignore[arg-type]
    precision: Precision = params.read("embed.precision", Precision)  # type: ignore[arg-type]
    views = params.read("embed.views", int)
    dtype = params.read("embed.dtype", str)
    breeds = [(dataset, head) for dataset in run.datasets for head in run.heads]
    readings = []
    for reader in run.backbones:
        network = build(reader, weights)
        imagenet = made("imagenet", run.backbones)
        if len(imagenet):
            engine = Engine(network.as_classifier(), device, precision)
            logits = reread(list(imagenet["file"]), engine, views, "float32")
            readings.append(reading(imagenet, reader, logits.double().softmax(1)))
        engine = Engine(network, device, precision)
        for dataset, head in breeds:
            ideals = made(f"{dataset}/{head}", run.backbones)
            if len(ideals):
                probe, _ = load_probe(Path("models", dataset, reader, head))
                features = reread(list(ideals["file"]), engine, views, dtype)
                with torch.inference_mode():
                    readings.append(reading(ideals, reader, probe.log_probabilities(features).exp()))
    table = pd.concat(readings)[COLUMNS] if readings else pd.DataFrame(columns=COLUMNS)
    with whole(Path("ideal_readings")) as folder:
        folder.mkdir()
        table.to_csv(folder / "readings.csv", index=False, lineterminator="\n")
        write_json(folder / "metrics.json", means(table))
    for (group, maker, by), part in table.groupby(["group", "maker", "reader"], sort=False):
        print(f"{group}: {maker}'s, read by {by}: {part['first'].mean():.0%} as meant")


def made(group: str, backbones: list[str]) -> pd.DataFrame:
    """All backbones' ideals of a group, "imagenet" or "<data set>/<head>": maker, name, places, file."""
    first, _, head = group.partition("/")
    rows = []
    for maker in backbones:
        pictures = IDEALS.joinpath(first, maker, head, "pictures")
        rows += [
            {"group": group, "maker": maker, **ideal, "file": pictures / ideal["file"]}
            for ideal in read_json(pictures / "ideals.json")
        ]
    return pd.DataFrame(rows)


def reading(ideals: pd.DataFrame, reader: str, probabilities: torch.Tensor) -> pd.DataFrame:
    """The ideals with each one's ``probability`` of what it is to be, and whether that comes ``first``.

    Of a species that is the sum of its classes', and whether the likeliest class is one of them.
    """
    rows = list(zip(probabilities, ideals["places"], strict=True))
    own = [float(row[places].sum()) for row, places in rows]
    first = [int(row.argmax()) in places for row, places in rows]
    return ideals.assign(reader=reader, probability=own, first=first)


def means(table: pd.DataFrame) -> dict[str, dict[str, float]]:
    """The mean probability for each group, by maker and reader."""
    found: dict[str, dict[str, float]] = {}
    for (group, maker, reader), part in table.groupby(["group", "maker", "reader"], sort=False):
        found.setdefault(str(group), {})[f"{maker} by {reader}"] = float(part["probability"].mean())
    return found


if __name__ == "__main__":
    open_door(main)
