"""Grad-CAM of a head's most confident mistakes: which regions spoke for the prediction and the label."""

from pathlib import Path

import pandas as pd
from pydantic import NonNegativeInt

from pets.classifier.classifier import load
from pets.core import params
from pets.core.files import atomic
from pets.core.params import Section
from pets.core.stage import run_stage
from pets.dataset import Dataset
from pets.engines.device import Device
from pets.galleries import figures
from pets.metrics.evaluation import most_confident_mistakes
from pets.visualization.gradcam import explain, figure


class Settings(Section):
    """The section ``gradcam`` of params.yaml."""

    mistakes: NonNegativeInt


def main(dataset: str, backbone: str, head: str) -> None:
    """Write gradcams/<dataset>/<backbone>/<head>."""
    settings = params.read("gradcam", Settings)
    weights = params.read("embed.weights", Path)
    device: Device = params.read("embed.device", Device)  # type: ignore[arg-type]
    data = Dataset(dataset)
    classifier = load(data.model(backbone, head), weights, device)
    predictions = pd.read_parquet(data.evaluation(backbone, head) / "predictions.parquet")
    mistakes = most_confident_mistakes(predictions, settings.mistakes)
    mistakes = mistakes.merge(data.catalog("image_id", "path"), on="image_id")
    layers, tiles = explain(classifier, mistakes, data.raw)
    with atomic(Path("gradcams", dataset, backbone, head)) as folder:
        figures.write(folder, [figure(classifier, backbone, data.described(), layers, tiles)])
    print(f"{len(mistakes)} mistakes explained at {', '.join(layers)}.")


if __name__ == "__main__":
    run_stage(main)
