"""Several backbones as one: where the vectors of each lie, and how they become one vector.

Each block is scaled to length one, image by image, so that no backbone counts for more because its features
are larger, and the cosine of two joined vectors is the mean of the backbones' own. Nothing is fitted, so one
image more changes no other image's vector.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch.nn import functional

from pets.core.names import parts
from pets.dataset import Dataset


def stores(data: Dataset, backbone: str) -> dict[str, Path]:
    """The folder of each part's vectors, by its name; of a backbone that joins none, its own."""
    folder, names = data.embeddings(backbone), parts(backbone)
    return {name: folder / name for name in names} if len(names) > 1 else {backbone: folder}


def join(blocks: Sequence[torch.Tensor]) -> torch.Tensor:
    """Features [n, dimensions] of blocks [n, each backbone's dimensions]; a single block stays as it is."""
    return torch.cat([functional.normalize(each, dim=1) for each in blocks], 1) if blocks[1:] else blocks[0]
