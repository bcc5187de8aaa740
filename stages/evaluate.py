"""Measure one head on the test images: metrics with intervals, predictions, and its surest mistakes."""

import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image
from pydantic import NonNegativeInt, PositiveInt
from safetensors.torch import load_file

from stages import params
from stages.door import open_door
from stages.embeddings import store
from stages.files import read_json, whole, write_json
from stages.heads.calibration import Calibration
from stages.heads.registry import HEADS
from stages.images.decoding import decode
from stages.params import Section
from stages.scores import intervals, metrics
from stages.species import species_of

PACKAGES = ("torch", "torchvision", "numpy", "pandas", "pillow", "dvc")
THUMBNAIL = 192  # longest side, pixels


class Settings(Section):
    """The section ``evaluate`` of params.yaml."""

    bootstrap: PositiveInt
    mistakes: NonNegativeInt


def main(dataset: str, backbone: str, head: str) -> None:
    """Write evaluations/<dataset>/<backbone>/<head>."""
    settings = params.read("evaluate", Settings)
    seed = params.read("seed", int)
    data = Path("data", dataset)
    splits = pd.read_parquet(data / "splits.parquet")
    origin = read_json(data / "origin.json")
    vectors = store.read(data / "embeddings" / backbone)
    model = Path("models", dataset, backbone, head)
    trained = read_json(model / "head.json")
    classes: list[str] = trained["classes"]

    test = splits[splits["split"] == "test"].reset_index(drop=True)
    features = torch.from_numpy(vectors.of(test["image_id"]))
    with torch.inference_mode():
        logits = HEADS[head].logits(load_file(model / "head.safetensors"), features)
        calibration = Calibration(**trained["calibration"])
        probabilities = calibration.log_probabilities(logits.double()).exp().numpy()
    labels = pd.Categorical(test["label"], categories=classes).codes.astype(np.int64)

    tasks = {origin["label_name"]: (probabilities, labels)}
    species = species_of(splits, classes)
    if species.notna().all():
        tasks["species"] = by_species(probabilities, labels, species)
    predictions = _predictions(test, probabilities, classes, species)

    with whole(Path("evaluations", dataset, backbone, head)) as folder:
        folder.mkdir()
        write_json(folder / "metrics.json", {name: metrics.headline(*task) for name, task in tasks.items()})
        write_json(
            folder / "intervals.json",
            {
                name: intervals.bootstrap_intervals(*task, settings.bootstrap, seed)
                for name, task in tasks.items()
            },
        )
        predictions.to_parquet(folder / "predictions.parquet", index=False)
        (folder / "validation.csv").write_bytes((model / "validation.csv").read_bytes())
        _write_plots(folder, predictions, probabilities, labels, classes, species)
        _save_mistakes(folder / "mistakes", predictions, data, settings.mistakes)
        write_json(
            folder / "provenance.json",
            _provenance(dataset, data, splits, origin, vectors.card, trained, settings),
        )
    _tell(folder=Path("evaluations", dataset, backbone, head))


def by_species(
    probabilities: np.ndarray, labels: np.ndarray, species: pd.Series
) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities [n, species] and labels [n] of the species: a species has the sum of its breeds."""
    codes, names = pd.factorize(species, sort=True)
    members = np.eye(len(names))[codes]  # [breeds, species]
    return probabilities @ members, codes[labels]


def _predictions(
    test: pd.DataFrame, probabilities: np.ndarray, classes: list[str], species: pd.Series
) -> pd.DataFrame:
    guess = probabilities.argmax(1)
    table = test[["image_id", "label", "species"]].copy()
    table["predicted"] = np.array(classes, dtype=object)[guess]
    table["predicted_species"] = None
    if species.notna().all():
        totals = by_species(probabilities, guess, species)[0]
        table["predicted_species"] = np.array(sorted(species.unique()), dtype=object)[totals.argmax(1)]
    table["probability"] = probabilities.max(1)
    table["correct"] = table["predicted"] == table["label"]
    table["probabilities"] = list(probabilities.astype(np.float32))
    return table


def _write_plots(
    folder: Path,
    predictions: pd.DataFrame,
    probabilities: np.ndarray,
    labels: np.ndarray,
    classes: list[str],
    species: pd.Series,
) -> None:
    """The tables behind the charts, of the report and of `dvc plots`."""
    confusion = metrics.confusion_matrix(probabilities, labels)
    per_class = metrics.per_class(probabilities, labels, classes)
    per_class.insert(1, "species", per_class["label"].map(species))
    tables = {
        "confusion": predictions[["label", "predicted"]].rename(columns={"label": "actual"}),
        "confused_pairs": metrics.confused_pairs(confusion, classes, most=20),
        "per_class": per_class,
        "reliability": metrics.reliability(probabilities, labels),
    }
    for name, table in tables.items():
        table.to_csv(folder / f"{name}.csv", index=False, lineterminator="\n")


def _save_mistakes(folder: Path, predictions: pd.DataFrame, data: Path, most: int) -> None:
    """Thumbnails of the surest mistakes, numbered in order."""
    folder.mkdir()
    wrong = predictions[~predictions["correct"]]
    surest = wrong.sort_values(["probability", "image_id"], ascending=[False, True]).head(most)
    paths = pd.read_parquet(data / "catalog.parquet", columns=["image_id", "path"]).set_index("image_id")[
        "path"
    ]
    for rank, image_id in enumerate(surest["image_id"], start=1):
        image = Image.fromarray(decode((data / "raw" / paths[image_id]).read_bytes()).pixels)
        image.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
        image.save(folder / f"{rank:02d}_{image_id}.jpg", quality=85)


def _provenance(
    dataset: str,
    data: Path,
    splits: pd.DataFrame,
    origin: dict[str, Any],
    card: dict[str, Any],
    trained: dict[str, Any],
    settings: Settings,
) -> dict[str, Any]:
    """All that the numbers hang on, for the report."""
    counts = {name: int((splits["split"] == name).sum()) for name in ("train", "val", "test")}
    return {
        "dataset": dataset,
        **origin,
        "classes": trained["classes"],
        "images": {**read_json(data / "catalog.json"), **counts},
        "backbone": card,
        "head": {key: trained[key] for key in ("head", "chosen", "calibration")},
        "params": {
            "seed": trained["seed"],
            f"train.{trained['head']}": trained["settings"],
            "evaluate": settings.model_dump(),
        },
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
    }


def _tell(folder: Path) -> None:
    bounds = read_json(folder / "intervals.json")
    for task, numbers in read_json(folder / "metrics.json").items():
        low, high = bounds[task]["top1"]
        print(f"{task}: top-1 {numbers['top1']:.4f} (95% interval {low:.4f} to {high:.4f})")


if __name__ == "__main__":
    open_door(main)
