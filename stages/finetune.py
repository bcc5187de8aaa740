"""Fine-tune a backbone on a data set's training images, from its frozen twin's features and linear head."""

from pathlib import Path

import pandas as pd
import torch

from pets.backbones import finetuned
from pets.backbones.build import build
from pets.classifier.examples import classes_of, examples_of
from pets.core import params
from pets.core.files import atomic, read_json, remove
from pets.core.stage import run_stage
from pets.dataset import Dataset
from pets.engines.device import Device, Precision, resolve_device
from pets.finetuning.finetune import finetune
from pets.finetuning.network import at_size
from pets.finetuning.pictures import Labelled
from pets.finetuning.settings import Settings
from pets.heads import linear


def main(dataset: str, backbone: str) -> None:
    """Write backbones/<backbone>-finetuned/<dataset>: weights.safetensors, record.json and history.csv.

    The head that `train` chose is fitted once more on the training images alone, since `train` fits it on the
    validation images too, by which the best epoch is chosen here. The test images are not read.
    """
    settings = params.read("finetune", Settings)
    seed = params.read("seed", int)
    weights = params.read("embed.weights", Path)
    device: Device = params.read("embed.device", Device)  # type: ignore[arg-type]
    precision: Precision = params.read("embed.precision", Precision)  # type: ignore[arg-type]
    data = Dataset(dataset)
    network = at_size(build(backbone, weights), settings.size)
    penalty = read_json(data.model(backbone, "linear") / "head.json")["chosen"]
    examples = examples_of(data, backbone, "train", resolve_device(device))
    start = linear.fit(examples, len(classes_of(data)), penalty, seed)
    train, validation = (labelled(data, split) for split in ("train", "val"))
    scratch = data.folder / f".{backbone.replace('/', '-')}.finetuning"
    trained = finetune(network, start, train, validation, settings, seed, device, precision, scratch)
    with atomic(data.finetuned(backbone)) as folder:
        folder.mkdir()
        record = {
            "frozen_twin": backbone,
            "frozen_weights_sha256": network.weights_sha256,
            "size": network.preprocessing.crop,
            "epoch": trained.epoch,
            "train": len(train.files),
            "validation": len(validation.files),
            "seed": seed,
            "settings": settings.model_dump(mode="json"),
        }
        finetuned.save(folder, trained.tensors, record)
        trained.history.to_csv(folder / "history.csv", index=False, lineterminator="\n")
    remove(scratch)
    print(f"chosen: epoch {trained.epoch} of {settings.epochs}, by the validation images")


def labelled(data: Dataset, split: str) -> Labelled:
    """The split's pictures, sorted by image_id, with their labels' places in `classes_of`."""
    images = data.splits().merge(data.catalog("image_id", "path", "sha256"), on="image_id")
    images = images[images["split"] == split].sort_values("image_id")
    places = pd.Categorical(images["label"], categories=classes_of(data)).codes
    files = [data.raw / path for path in images["path"]]
    return Labelled(files, list(images["sha256"]), torch.tensor(places, dtype=torch.int64))


if __name__ == "__main__":
    run_stage(main)
