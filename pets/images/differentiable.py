"""From a picture's own pixels to a network's input, differentiable.

The same resize, crop and mirrored view as embed's (`Preprocessing.views` and `normalize`), on floats, so that
the gradient is with respect to the picture itself and not to a crop of it. Only the rounding to 8 bits after
the resize is left out, because its gradient would be zero.
"""

from collections.abc import Sequence

import torch

from pets.images.preprocessing import Preprocessing


def network_inputs(
    preprocessing: Preprocessing, pictures: torch.Tensor | Sequence[torch.Tensor], views: int
) -> list[torch.Tensor]:
    """One normalized batch [n, 3, side, side] for each of one or two ``views`` (see `Preprocessing.views`).

    ``pictures``: floats in [0, 1], either [n, 3, height, width] or n tensors [3, height, width] of any sizes.
    float64 stays float64.
    """
    if isinstance(pictures, torch.Tensor):
        resized = preprocessing.views(pictures, views)
    else:
        each = [preprocessing.views(picture, views) for picture in pictures]
        resized = [torch.stack(view) for view in zip(*each, strict=True)]
    return [preprocessing.normalize(view) for view in resized]
