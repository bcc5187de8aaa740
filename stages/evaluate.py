"""Evaluate one head on the test images: metrics with intervals, predictions, most confident mistakes."""

import platform
import shutil
from importlib.metadata import version
from typing import Any

from pydantic import NonNegativeInt, PositiveInt

from pets.classifier.fitted_head import load_head
from pets.core import params
from pets.core.files import atomic, read_json, write_json
from pets.core.params import Section
from pets.core.stage import run_stage
from pets.dataset import Dataset, file_stem, species_of
from pets.embeddings.features import features_of
from pets.images.thumbnails import thumbnail
from pets.metrics.evaluation import Evaluation, headline, most_confident_mistakes

PACKAGES = ("torch", "torchvision", "numpy", "pandas", "pillow", "dvc")


class Settings(Section):
    """The section ``evaluate`` of params.yaml."""

    bootstrap: PositiveInt
    mistakes: NonNegativeInt


def main(dataset: str, backbone: str, head: str) -> None:
    """Write evaluations/<dataset>/<backbone>/<head>."""
    settings = params.read("evaluate", Settings)
    seed = params.read("seed", int)
    data = Dataset(dataset)
    model = data.model(backbone, head)
    fitted = load_head(model)
    splits = data.splits()
    test = splits[splits["split"] == "test"].reset_index(drop=True)
    features = features_of(data, backbone, test["image_id"])
    probabilities = fitted.probabilities(features).numpy()
    evaluation = Evaluation(test, probabilities, species_of(splits, fitted.classes))
    scores = evaluation.scores(data.origin()["label_name"], settings.bootstrap, seed)
    predictions = evaluation.predictions()
    mistakes = most_confident_mistakes(predictions, settings.mistakes)

    with atomic(data.evaluation(backbone, head)) as folder:
        folder.mkdir()
        for name in ("metrics", "headline"):  # in git, and for DVC's cache: see dvc.yaml
            write_json(folder / f"{name}.json", headline(scores))
        write_json(folder / "scores.json", scores)
        predictions.to_parquet(folder / "predictions.parquet", index=False)
        shutil.copyfile(model / "validation.csv", folder / "validation.csv")
        for name, table in evaluation.tables().items():
            table.to_csv(folder / f"{name}.csv", index=False, lineterminator="\n")
        (folder / "mistakes").mkdir()
        paths = data.catalog("image_id", "path").set_index("image_id")["path"]
        for rank, image_id in enumerate(mistakes["image_id"], start=1):
            picture = thumbnail((data.raw / paths[image_id]).read_bytes())
            (folder / "mistakes" / f"{rank:02d}_{file_stem(image_id)}.jpg").write_bytes(picture)
        write_json(folder / "provenance.json", provenance(data, backbone, head, settings))
    for task, metrics in scores.items():
        top1 = metrics["top1"]
        print(f"{task}: top-1 {top1['value']:.4f} (95% interval {top1['low']:.4f} to {top1['high']:.4f})")


def provenance(data: Dataset, backbone: str, head: str, settings: Settings) -> dict[str, Any]:
    """Everything that determines the numbers, for the report."""
    trained = read_json(data.model(backbone, head) / "head.json")
    return {
        "dataset": data.name,
        **data.origin(),
        "classes": trained["classes"],
        "images": data.images(),
        "backbone": data.embeddings_metadata(backbone),
        "head": {key: trained[key] for key in ("head", "chosen", "calibration")},
        "params": {
            "seed": trained["seed"],
            f"train.{trained['head']}": trained["settings"],
            "evaluate": settings.model_dump(),
        },
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
    }


if __name__ == "__main__":
    run_stage(main)
