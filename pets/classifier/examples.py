"""A split's images as heads take them: features from the store, and labels as numbers."""

import pandas as pd
import torch

from pets.dataset import Dataset
from pets.embeddings.features import features_of
from pets.heads import Examples


def classes_of(data: Dataset) -> list[str]:
    """The labels of the images that can be used, sorted: a head's classes in the order of its logits."""
    return sorted(data.splits()["label"].unique())


def examples_of(data: Dataset, backbone: str, split: str, device: str) -> Examples:
    """The images of the split ("train", "val" or "test"), sorted by image_id, on ``device``."""
    splits = data.splits()
    rows = splits[splits["split"] == split]
    labels = pd.Categorical(rows["label"], categories=classes_of(data)).codes
    features = features_of(data, backbone, rows["image_id"])
    return Examples(features.to(device), torch.tensor(labels, dtype=torch.int64, device=device))
