"""Some vectors of each data set, which are of unknown pictures to the models of other data sets."""

from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from pets.core.files import atomic
from pets.dataset import Dataset
from pets.embeddings.features import features_of

MOST = 1000  # pictures of a data set
FOLDER = Path("outliers")


def write_outliers(data: Dataset, backbone: str) -> None:
    """Write outliers/<backbone>/<data set>.safetensors: features of at most 1,000 pictures, evenly spaced."""
    image_ids = data.usable()["image_id"]
    features = features_of(data, backbone, image_ids[:: -(-len(image_ids) // MOST) or 1])
    with atomic(FOLDER / backbone / f"{data.name}.safetensors") as file:
        save_file({"features": features.contiguous()}, file)


def read_outliers(backbone: str, datasets: Iterable[str]) -> dict[str, torch.Tensor]:
    """The features, float32 [n, dimensions], by data set."""
    files = {name: FOLDER / backbone / f"{name}.safetensors" for name in datasets}
    return {name: load_file(file)["features"] for name, file in files.items()}
