"""A backbone run by PyTorch as it is: on a GPU where there is one, in mixed precision where that is faster.

bfloat16, on a processor that has it, makes EfficientNet-Lite0 twice as fast as float32 and keeps its pooled
features to a cosine of 0.9997; folding the batch norms or compiling gave nothing beyond that.
"""

import ctypes
import platform
from collections.abc import Iterable, Iterator
from typing import Literal

import numpy as np
import torch
from torch import nn

from stages.backbones.base import Backbone
from stages.errors import UserError

VERSION = 1  # part of every embedding's key: raise it when the same tensor would give other features
BATCH = {"cpu": 16, "cuda": 256}  # on a CPU, small enough for its caches
Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "float32", "bfloat16", "float16"]
EXACT = 2  # convolutions at the start kept in float32 under bfloat16: rounding the image costs the most
M_MMAP_THRESHOLD, M_TRIM_THRESHOLD = -3, -1  # of malloc.h


def keep_memory() -> None:
    """Let glibc keep freed memory for the next layer.

    By default each large activation is mapped anew and given back, and on a CPU the page faults take as long
    as the network itself. Elsewhere than on glibc there is no mallopt, and nothing to do.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        for option in (M_MMAP_THRESHOLD, M_TRIM_THRESHOLD):
            libc.mallopt(option, 1 << 30)


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

    def __init__(self, backbone: Backbone, device: Device, precision: Precision) -> None:
        self.device = device_of(device)
        self.precision = _precision(precision, self.device)
        self.batch_size = BATCH[self.device]
        self.preprocessing = backbone.preprocessing
        if self.device == "cpu":
            keep_memory()
        self.network = backbone.features.to(self.device).to(memory_format=torch.channels_last)
        if self.precision == "bfloat16":
            convolutions = [each for each in self.network.modules() if isinstance(each, nn.Conv2d)]
            for convolution in convolutions[:EXACT]:
                in_float32(convolution, self.device)

    @property
    def device_name(self) -> str:
        """What the report says it ran on."""
        if self.device == "cuda":
            return torch.cuda.get_device_name()
        return f"CPU ({torch.backends.cpu.get_cpu_capability()})"

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
                parts.append(self._features(pending[: self.batch_size]))
            except RuntimeError as error:
                self.batch_size = halved(error, self.batch_size, self.device)
            else:
                pending = pending[len(parts[-1]) :]
        return torch.cat(parts)

    def _features(self, batch: torch.Tensor) -> torch.Tensor:
        """Features [n, d] of at most ``batch_size`` images.

        The network always sees a full batch, filled up with black, because kernels may differ with its
        size, on a GPU above all: so an image's features don't hang on how many others came with it.
        """
        full = torch.zeros(self.batch_size, *batch.shape[1:], dtype=torch.uint8)
        full[: len(batch)] = batch
        dtype = getattr(torch, self.precision)
        with torch.inference_mode(), torch.autocast(self.device, dtype, enabled=dtype != torch.float32):
            images = full.to(self.device).to(memory_format=torch.channels_last).float() / 255
            features = self.network(self.preprocessing.normalize(images))
        return features[: len(batch)].float().cpu()


def halved(error: RuntimeError, images: int, device: str) -> int:
    """Half of the ``images`` that were too many for the memory; UserError if that was one.

    Raises any other error again.
    """
    if not isinstance(error, torch.OutOfMemoryError) and "can't allocate memory" not in str(error):
        raise error
    if images == 1:
        raise UserError(f"a single image does not fit into the memory of {device}.") from None
    if device == "cuda":
        torch.cuda.empty_cache()
    print(f"out of memory: going on with {images // 2} images at a time")
    return images // 2


def device_of(wanted: Device) -> str:
    """The device that "auto" means here; UserError for a GPU where there is none."""
    if wanted == "cuda" and not torch.cuda.is_available():
        raise UserError("params.yaml: embed.device is cuda, and no GPU is seen here; use auto or cpu.")
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return wanted


def _precision(wanted: Precision, device: str) -> str:
    if wanted != "auto":
        return wanted
    if device == "cuda":
        return "float16"
    processor = torch.cpu.get_capabilities()
    native = any(processor.get(each) for each in ("avx512_bf16", "amx_bf16", "bf16"))  # the last is Arm's
    return "bfloat16" if native else "float32"
