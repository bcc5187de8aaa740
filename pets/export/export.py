"""One model to one file, compared with `evaluate`, and its card."""

from pathlib import Path

import pandas as pd

from pets.classifier.classifier import load
from pets.classifier.unknown import load_unknown
from pets.core.files import checksum, read_json
from pets.dataset import Dataset
from pets.embeddings.features import features_of
from pets.export import card
from pets.export.graph import Deployed
from pets.export.onnx_file import parity, write
from pets.images.decoding import decode


def export(
    data: Dataset, backbone: str, head: str, weights: Path, most: int | None, seed: int, file: Path
) -> tuple[pd.DataFrame, str]:
    """Write ``file``; returns how it compares (`pets.export.onnx_file.parity`), and the card in Markdown.

    It is compared on ``most`` test images at most, drawn by the seed.
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
    write(Deployed(classifier, unknown), properties, file)

    images = data.test_images(seed).head(most) if most is not None else data.test_images(seed)
    scores = unknown.scores(classifier.head, features_of(data, backbone, images["image_id"]))
    evaluated = pd.read_parquet(data.evaluation(backbone, head) / "predictions.parquet")
    expected = images.assign(unknown_score=scores.numpy()).merge(
        evaluated[["image_id", "probabilities"]], on="image_id", validate="one_to_one"
    )
    pictures = (decode((data.raw / path).read_bytes()).pixels for path in expected["path"])
    compared = parity(file, pictures, expected)
    return compared, card.render(data, backbone, head, properties, compared)
