"""One model to one file, or two, compared with `evaluate`, and its card."""

from pathlib import Path
from typing import Literal

import pandas as pd

from pets.classifier.classifier import load
from pets.classifier.unknown import load_unknown
from pets.core.files import checksum, read_json
from pets.dataset import Dataset
from pets.embeddings.features import features_of
from pets.export import card
from pets.export.graph import Deployed
from pets.export.int8 import quantize
from pets.export.onnx_file import parity, write


def export(
    data: Dataset,
    backbone: str,
    head: str,
    weights: Path,
    pictures: Literal["all"] | int,
    int8_images: int,
    seed: int,
    into: Path,
) -> tuple[pd.DataFrame, str]:
    """Write model.onnx into a folder and, with ``int8_images`` to calibrate it, model.int8.onnx.

    They are compared on so many of the test images, ``pictures``, drawn by the seed.
    Returns how they compare with `evaluate` (see `pets.export.onnx_file.parity`), and the card in Markdown.
    """
    folder = data.model(backbone, head)
    described = read_json(folder / "head.json")
    classifier, unknown = load(folder, weights, "cpu", "float32"), load_unknown(folder)
    properties = {
        "model": f"{data.name}/{backbone}/{head}",
        "labels": described["classes"],
        "species": described["species"],
        "label_name": described["label_name"],
        "synthetic": described["synthetic"],
        "unknown": described["unknown"],
        "weights_sha256": {name: each["weights_sha256"] for name, each in described["embeddings"].items()},
        "head_sha256": checksum(folder / "head.safetensors"),
    }
    files = [into / "model.onnx"]
    write(Deployed(classifier, unknown), properties, files[0])
    if int8_images:
        files.append(into / "model.int8.onnx")
        calibrating = data.shuffled("train", seed).head(int8_images)
        quantize(files[0], [data.raw / path for path in calibrating["path"]], files[1])

    images = data.shuffled("test", seed)
    images = images if pictures == "all" else images.head(pictures)
    scores = unknown.scores(classifier.head, features_of(data, backbone, images["image_id"]))
    evaluated = pd.read_parquet(data.evaluation(backbone, head) / "predictions.parquet")
    expected = images.assign(
        unknown_score=scores.numpy(), label=images["label"].map(described["classes"].index)
    ).merge(evaluated[["image_id", "probabilities"]], on="image_id", validate="one_to_one")
    tested = [data.raw / path for path in expected["path"]]
    compared = pd.concat([parity(file, tested, expected) for file in files])
    return compared, card.render(data, backbone, head, properties, compared)
