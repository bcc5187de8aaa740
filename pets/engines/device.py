"""Where and in which precision a backbone runs: the one place that decides what "auto" means."""

import ctypes
import platform
from typing import Literal

import torch

from pets.core.errors import UserError

Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "float32", "bfloat16", "float16"]
M_MMAP_THRESHOLD, M_TRIM_THRESHOLD = -3, -1  # of malloc.h


def resolve_device(wanted: Device) -> str:
    """The device that "auto" means here, made ready; UserError for a GPU where there is none."""
    if wanted == "cuda" and not torch.cuda.is_available():
        raise UserError("params.yaml: embed.device is cuda, and no GPU is available here; use auto or cpu.")
    device = ("cuda" if torch.cuda.is_available() else "cpu") if wanted == "auto" else wanted
    if device == "cpu":
        _keep_freed_memory()
    return device


def resolve_precision(wanted: Precision, device: str) -> str:
    """The precision that "auto" means on a device: the fastest that keeps the features.

    On a CPU it is bfloat16 where the processor multiplies it faster than float32, by a unit for matrices
    (AMX, or Arm's) or by AVX512-BF16. With the latter alone, on an Intel Xeon, OpenVINO was 0.6 to 1.0 times
    as fast as in float32, and PyTorch 0.6 (ViT, VGG-16) to 1.3 (EfficientNet-Lite0).
    """
    if wanted != "auto":
        return wanted
    if device == "cuda":
        return "float16"
    processor = torch.cpu.get_capabilities()
    matrices = processor.get("amx_bf16") or processor.get("bf16")  # the last is Arm's
    vectors = processor.get("avx512_bf16") and not str(processor.get("cpu_name")).startswith("Intel")
    return "bfloat16" if matrices or vectors else "float32"


def _keep_freed_memory() -> None:
    """Let glibc keep freed memory for the next layer.

    By default each large activation is mapped anew and given back, and on a CPU the page faults take as long
    as the network itself. Elsewhere than on glibc there is no mallopt, and nothing to do.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        for option in (M_MMAP_THRESHOLD, M_TRIM_THRESHOLD):
            libc.mallopt(option, 1 << 30)
