"""Fit one head on cached features: hyperparameters and calibration by validation, then fit on all of it."""

import pandas as pd
import torch

from pets import heads
from pets.classifier.training import train
from pets.core import params
from pets.core.files import atomic
from pets.core.stage import run_stage
from pets.dataset import Dataset
from pets.embeddings.features import features_of
from pets.engines.device import Device, resolve_device
from pets.heads import Examples


def main(dataset: str, backbone: str, head: str) -> None:
    """Write models/<dataset>/<backbone>/<head>: head.safetensors, head.json, and the validation curve."""
    settings = params.read(f"train.{head}", heads.load(head).Settings)
    seed = params.read("seed", int)
    device = resolve_device(params.read("embed.device", Device))  # type: ignore[arg-type]
    data = Dataset(dataset)
    splits = data.splits()
    classes = sorted(splits["label"].unique())

    def examples(split: str) -> Examples:
        rows = splits[splits["split"] == split]
        labels = pd.Categorical(rows["label"], categories=classes).codes
        features = features_of(data, backbone, rows["image_id"])
        return Examples(features.to(device), torch.tensor(labels, dtype=torch.int64, device=device))

    fitted, chosen, curve = train(head, examples("train"), examples("val"), classes, settings, seed)
    with atomic(data.model(backbone, head)) as folder:
        folder.mkdir()
        fitted.save(folder, chosen=chosen, settings=settings.model_dump(mode="json"), seed=seed)
        curve.to_csv(folder / "validation.csv", index=False, lineterminator="\n")


if __name__ == "__main__":
    run_stage(main)
