"""A backbone run by PyTorch: on a GPU where there is one, in mixed precision where that is faster.

bfloat16, on a processor that is fast with it (see `resolve_precision`), made EfficientNet-Lite0 twice as fast
as float32 and keeps its pooled features to a cosine of 0.9997; folding the batch norms or compiling gave
nothing beyond that.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from pets.backbones.base import Backbone
from pets.engines.device import Device, Precision, resolve_device, resolve_precision
from pets.engines.memory import halved
from pets.images.batches import batches

BATCH = {"cpu": 16, "cuda": 256}  # on a CPU, small enough for its caches
EXACT = 2  # convolutions at the start kept in float32 under bfloat16: rounding the image costs the most


def in_float32(convolution: nn.Module, device: str) -> None:
    """Leave a convolution out of autocast."""
    forward = convolution.forward

    def without_autocast(images: torch.Tensor) -> torch.Tensor:
        with torch.autocast(device, enabled=False):
            return forward(images.float())

    convolution.forward = without_autocast


class Engine:
    """Computes a backbone's features, batch by batch.

    ``device`` and ``precision`` may be "auto"; what was chosen is in the attributes of the same names.
    """

    name = "torch"

    def __init__(self, backbone: Backbone, device: Device, precision: Precision) -> None:
        self.device = resolve_device(device)
        self.precision = resolve_precision(precision, self.device)
        self.batch_size = BATCH[self.device]
        self.preprocessing = backbone.preprocessing
        self.network = backbone.features.to(self.device).to(memory_format=torch.channels_last)
        if self.precision == "bfloat16":
            convolutions = [each for each in self.network.modules() if isinstance(each, nn.Conv2d)]
            for convolution in convolutions[:EXACT]:
                in_float32(convolution, self.device)

    @property
    def device_name(self) -> str:
        """The device as the report names it."""
        if self.device == "cuda":
            return torch.cuda.get_device_name()
        return f"CPU ({torch.backends.cpu.get_cpu_capability()})"

    def embed(self, pictures: Sequence[Path | bytes], views: int, dtype: str) -> torch.Tensor:
        """Features [n, dimensions], float32, of pictures, rounded to the stored ``dtype``."""
        vectors = np.concatenate(list(self.vectors(pictures, views)))
        return torch.from_numpy(vectors.astype(dtype).astype(np.float32))

    def vectors(
        self, pictures: Sequence[Path | bytes], views: int, checksums: Sequence[str] = ()
    ) -> Iterator[np.ndarray]:
        """Features [n, dimensions], float32, of pictures in their order, batch by batch.

        For ``pictures`` and ``checksums`` see `pets.images.batches.batches`.
        """
        yield from self.run(batches(pictures, self.preprocessing, views, self.batch_size, checksums))

    def run(self, batches: Iterable[list[torch.Tensor]]) -> Iterator[np.ndarray]:
        """For each batch, a list of views uint8 [n, 3, side, side], its features [n, d], float32: their mean.

        Out of memory halves ``batch_size`` and goes on.
        """
        for views in batches:
            yield torch.stack([self._in_parts(view) for view in views]).mean(0).numpy()

    def _in_parts(self, pending: torch.Tensor) -> torch.Tensor:
        parts: list[torch.Tensor] = []
        while len(pending):
            try:
                batch = pending[: self.batch_size]
                parts.append(self._full_batch(self.padded(batch))[: len(batch)])
            except RuntimeError as error:
                self.batch_size = halved(error, self.batch_size, self.device)
            else:
                pending = pending[len(parts[-1]) :]
        return torch.cat(parts)

    def padded(self, batch: torch.Tensor) -> torch.Tensor:
        """A full batch of at most ``batch_size`` images, filled up with black.

        The network sees no other, because kernels may differ with a batch's size, on a GPU above all: so an
        image's features don't depend on how many others are in its batch, unless ``batch_size`` is set anew.
        """
        missing = self.batch_size - len(batch)
        return torch.nn.functional.pad(batch, (0, 0) * 3 + (0, missing)) if missing else batch

    def _full_batch(self, images: torch.Tensor) -> torch.Tensor:
        """Features [n, d], float32, of n = ``batch_size`` images, uint8 [n, 3, side, side]."""
        dtype = getattr(torch, self.precision)
        with torch.inference_mode(), torch.autocast(self.device, dtype, enabled=dtype != torch.float32):
            floats = images.to(self.device).to(memory_format=torch.channels_last).float() / 255
            return self.network(self.preprocessing.normalize(floats)).float().cpu()
