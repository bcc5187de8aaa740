"""The training pictures with the most similar features, by cosine."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from pets.dataset import Dataset
from pets.embeddings.features import features_of
from pets.heads import unit


@dataclass(frozen=True)
class Neighbours:
    """The training pictures: their ids, files and features of unit length [n, dimensions]."""

    image_ids: Sequence[str]
    files: dict[str, Path]
    features: torch.Tensor

    def nearest(self, features: torch.Tensor, count: int) -> list[list[str]]:
        """The ids of the ``count`` most similar to each of ``features`` [m, dimensions], in order."""
        count = min(count, len(self.image_ids))
        found = (unit(features) @ self.features.T).topk(count).indices
        return [[self.image_ids[index] for index in row] for row in found]


def training_pictures(dataset: str, backbone: str) -> Neighbours | None:
    """Those of a data set, training and validation; None where its pictures or features aren't there."""
    data = Dataset(dataset)
    needed = [data.raw, data.folder / "splits.parquet", data.embeddings(backbone) / "metadata.json"]
    if not all(each.exists() for each in needed):
        return None
    splits = data.splits()
    image_ids = list(splits["image_id"][splits["split"] != "test"])
    paths = data.catalog("image_id", "path").set_index("image_id")["path"]
    files = {image_id: data.raw / paths[image_id] for image_id in image_ids}
    return Neighbours(image_ids, files, unit(features_of(data, backbone, image_ids)))
