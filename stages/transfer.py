"""Classify, by one backbone and head, the adversarial pictures and the ideals that were made on every
backbone."""

import tempfile
from pathlib import Path

import torch

from pets.attacks.masking import NOISE
from pets.attacks.pictures import classes_of, read_pictures
from pets.attacks.settings import Epsilon
from pets.attacks.transfer import add_noise, measure
from pets.classifier.classifier import load
from pets.core import params
from pets.core.files import atomic
from pets.core.progress import progress_bar
from pets.core.stage import run_stage
from pets.dataset import Dataset, file_stem
from pets.engines.device import Device
from pets.visualization.readings import made, reading


def main(dataset: str, backbone: str, head: str) -> None:
    """Write transfers/<dataset>/<head>/results/<backbone>: transfer.csv and readings.csv."""
    backbones = params.read("run.backbones", list[str])
    epsilon: float = params.read("attack.transfer.epsilon", Epsilon)
    seed = params.read("seed", int)
    weights = params.read("embed.weights", Path)
    device: Device = params.read("embed.device", Device)  # type: ignore[arg-type]
    data, transfers = Dataset(dataset), Path("transfers", dataset, head)
    classifier = load(data.model(backbone, head), weights, device)
    folders = {name: transfers / "pictures" / name for name in backbones}
    stems = sorted(file.stem for file in folders[backbones[0]].glob("*.png"))
    test = data.splits().merge(data.catalog("image_id", "path"), on="image_id")
    images = test.set_index(test["image_id"].map(file_stem)).loc[stems]

    total = (len(backbones) + 2) * len(stems)
    with tempfile.TemporaryDirectory() as noise, progress_bar(total, "transfer") as progress:
        pictures = {name: [folder / f"{each}.png" for each in stems] for name, folder in folders.items()}
        pictures[NOISE] = add_noise(read_pictures(images, data.raw), epsilon, seed, Path(noise))
        labels = classes_of(images, classifier.classes)
        originals = [data.raw / path for path in images["path"]]
        table = measure(classifier, originals, labels, pictures, progress.update)
    table.insert(1, "target", backbone)
    table.insert(2, "epsilon", epsilon)

    ideals = made({name: transfers / "ideals" / name for name in backbones}, f"{dataset}/{head}")
    probabilities = torch.zeros(0, len(classifier.classes))
    if len(ideals):
        features = classifier.features_of_files(list(ideals["file"]))
        probabilities = classifier.head.log_probabilities(features).exp()
    readings = reading(ideals, backbone, probabilities)
    with atomic(transfers / "results" / backbone) as folder:
        folder.mkdir()
        table.to_csv(folder / "transfer.csv", index=False, lineterminator="\n")
        readings.to_csv(folder / "readings.csv", index=False, lineterminator="\n")

    for row in table.itertuples():
        print(f"made on {row.source}: {row.fooled:.3f} of {row.images} fool {backbone}")
    for maker, part in readings.groupby("maker", sort=False):
        print(f"{maker}'s ideals: {part['first'].mean():.0%} classified as intended")


if __name__ == "__main__":
    run_stage(main)
