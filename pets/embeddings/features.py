"""The features of a data set's images, as the heads take them."""

from collections.abc import Iterable

import torch

from pets.dataset import Dataset
from pets.embeddings import store
from pets.embeddings.joining import join


def features_of(data: Dataset, backbone: str, image_ids: Iterable[str]) -> torch.Tensor:
    """These images' features, float32 [n, dimensions], in their order; those of several backbones joined."""
    names = list(image_ids)
    stores = map(store.read, data.stores(backbone).values())
    return join([torch.from_numpy(each.vectors_of(names)) for each in stores])
