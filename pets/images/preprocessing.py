"""Pixels to a network's input, as it was trained: resize the short side, crop the centre, normalize.

As torchvision's transforms do it, by the same function of PyTorch, but without torchvision, since importing
that takes a stage two seconds.
"""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from torch.nn import functional

COLUMNS = 512  # of a resampling matrix made at a time, which bounds memory for a long side


@dataclass(frozen=True)
class Preprocessing:
    """The evaluation preprocessing of one network.

    ``resize`` (short side), ``crop`` (square) and ``whole`` (square, see `views`) are in pixels,
    ``interpolation`` is "bilinear" or "bicubic" with antialiasing, ``mean`` and ``std`` are per channel, of
    values in [0, 1]. ``squash``: both sides are resized to ``resize``, whatever the picture's shape.
    """

    resize: int
    crop: int
    whole: int
    interpolation: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    squash: bool = False

    def at_size(self, crop: int) -> "Preprocessing":
        """The same for an input of ``crop`` pixels a side, everything else in proportion."""
        share = crop / self.crop
        return replace(self, crop=crop, resize=round(share * self.resize), whole=round(share * self.whole))

    def geometry(self, image: torch.Tensor) -> torch.Tensor:
        """Resize and crop [..., 3, height, width] to [..., 3, crop, crop]; uint8 stays uint8.

        On uint8 this equals Pillow's resizing to within rounding, at a quarter of its time. Floats in [0, 1]
        stay floats: the same without rounding, and differentiable.
        """
        if image.is_floating_point():
            return self._geometry_of_floats(image)
        # An image whose channels lie together, as decoders leave them, is resized as it lies: with the usual
        # stride of a batch, PyTorch would copy it.
        batch = image.reshape(-1, *image.shape[-3:])
        if len(batch) == 1:
            batch = batch.as_strided(batch.shape, (batch.numel(), *batch.stride()[1:]))
        size = self._resized(*image.shape[-2:])
        if size != image.shape[-2:]:
            batch = functional.interpolate(batch, size, mode=self.interpolation, antialias=True)
        top, left = (_margin(side, self.crop) for side in size)
        cropped = batch[..., top : top + self.crop, left : left + self.crop]
        return cropped.reshape(*image.shape[:-2], self.crop, self.crop)

    def _resized(self, height: int, width: int) -> tuple[int, int]:
        """Height and width after resizing, that of the long side rounded as torchvision does."""
        if self.squash:
            return self.resize, self.resize
        side = int(self.resize * max(height, width) / min(height, width))
        return (self.resize, side) if height <= width else (side, self.resize)

    def _geometry_of_floats(self, image: torch.Tensor) -> torch.Tensor:
        """`geometry` as two matrix products: the gradient of torch's own resizing takes 50 times as long.

        Width first, then height, and clamped to [0, 1] each time, as uint8 is: without the first clamp a
        bicubic edge would differ by as much as 0.06.
        """
        height, width = image.shape[-2:]
        tall, wide = self._resized(height, width)
        rows = _resampling(height, tall, self.crop, self.interpolation).to(image)
        columns = _resampling(width, wide, self.crop, self.interpolation).to(image)
        return (rows @ (image @ columns.T).clamp(0, 1)).clamp(0, 1)

    def views(self, image: torch.Tensor, count: int) -> list[torch.Tensor]:
        """One or two views of an image [3, height, width].

        The first is the network's own, `geometry`: [3, crop, crop]. The second, mirrored, keeps the whole
        short side and is cropped only along the long side, or not at all if squashed: [3, whole, whole].
        """
        views = [self.geometry(image)]
        if count == 2:
            views.append(replace(self, resize=self.whole, crop=self.whole).geometry(image.flip(-1)))
        return views

    def normalize(self, image: torch.Tensor) -> torch.Tensor:
        """Float tensor for the network from one in [0, 1]; shape [..., 3, height, width] is kept."""
        mean = torch.tensor(self.mean, dtype=image.dtype, device=image.device).view(3, 1, 1)
        std = torch.tensor(self.std, dtype=image.dtype, device=image.device).view(3, 1, 1)
        return (image - mean) / std


@lru_cache(maxsize=64)
@torch.inference_mode(False)  # a tensor made in that mode could not serve a gradient later
def _resampling(length: int, resized: int, crop: int, interpolation: str) -> torch.Tensor:
    """The matrix [crop, length], float64, that resizes and centre-crops along one side."""
    parts = []
    for start in range(0, length, COLUMNS):
        identity = torch.zeros(1, 1, length, min(COLUMNS, length - start), dtype=torch.float64)
        identity[0, 0, start : start + COLUMNS].fill_diagonal_(1)
        part = functional.interpolate(
            identity, (resized, identity.shape[3]), mode=interpolation, align_corners=False, antialias=True
        )
        top = _margin(resized, crop)
        parts.append(part[0, 0, top : top + crop])
    return torch.cat(parts, 1)


def _margin(side: int, crop: int) -> int:
    """Where a centred crop begins, rounded as torchvision does."""
    return round((side - crop) / 2)


def to_tensor(pixels: np.ndarray) -> torch.Tensor:
    """uint8 [height, width, 3] as a tensor view [3, height, width], in the memory order that resizes fast."""
    return torch.from_numpy(np.require(pixels, requirements=["C", "W"])).permute(2, 0, 1)
