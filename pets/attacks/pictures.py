"""Test images as attacks need them: their pixels, their classes, and batches that fit into memory."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from pets.classifier.classifier import Classifier
from pets.engines.memory import in_batches
from pets.images.decoding import decode
from pets.images.preprocessing import to_tensor


def read_pictures(images: pd.DataFrame, raw: Path) -> list[torch.Tensor]:
    """The pictures of rows with a path under ``raw``: uint8 [3, height, width] each."""
    return [to_tensor(decode((raw / path).read_bytes()).pixels) for path in images["path"]]


def classes_of(images: pd.DataFrame, classes: list[str]) -> torch.Tensor:
    """The place among ``classes`` of each row's label, int64 [n]."""
    return torch.from_numpy(pd.Categorical(images["label"], categories=classes).codes.astype(np.int64))


def batch_by_batch(
    classifier: Classifier, pictures: Sequence[torch.Tensor], work: Callable[[list[int]], object]
) -> None:
    """Call ``work`` with the places of pictures [3, height, width], as many at once as fit into memory."""
    sizes = [(picture.shape[1], picture.shape[2]) for picture in pictures]
    in_batches(sizes, classifier.batch_size, classifier.device, work)
