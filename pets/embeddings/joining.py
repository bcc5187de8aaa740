"""How the vectors of several backbones become one.

Each block is scaled to length one, image by image, so that no backbone counts for more because its features
are larger, and the cosine of two joined vectors is the mean of the backbones' own. Nothing is fitted, so one
image more changes no other image's vector.
"""

from collections.abc import Sequence

import torch
from torch.nn import functional


def join(blocks: Sequence[torch.Tensor]) -> torch.Tensor:
    """Features [n, dimensions] of blocks [n, each backbone's dimensions]; a single block stays as it is."""
    return torch.cat([functional.normalize(each, dim=1) for each in blocks], 1) if blocks[1:] else blocks[0]
