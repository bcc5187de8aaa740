"""Which engine runs a backbone: the one named in params.yaml, or the fastest that keeps the features."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch

from pets.backbones.base import Backbone
from pets.core.errors import UserError
from pets.engines.device import Device, Precision, resolve_device, resolve_precision
from pets.engines.openvino import HINTS, OpenVino, is_installed
from pets.engines.pytorch import Engine

Name = Literal["auto", "torch", "openvino"]
ENGINES: dict[str, type[Engine]] = {"torch": Engine, "openvino": OpenVino}
COMPARED = 16  # pictures, the first ones, whose features by OpenVINO are compared with PyTorch's
LEAST_MEAN, LEAST = 0.999, 0.99  # cosine with PyTorch's features in float32: in the mean, and of each picture


def choose(
    name: Name, backbone: Backbone, device: Device, precision: Precision, pictures: Sequence[Path | bytes]
) -> Engine:
    """The engine of that name; "auto" is OpenVINO on a CPU if it is installed.

    OpenVINO's features of the first ``pictures`` are compared with PyTorch's in float32: where they differ,
    "auto" is PyTorch, and "openvino" raises UserError. A printed line says what was chosen and why.
    """
    if name == "auto" and (reason := _why_not_openvino(device, precision)):
        print(f"PyTorch is used: {reason}.")
        name = "torch"
    if name == "torch":
        return Engine(backbone, device, precision)
    engine = OpenVino(backbone, device, precision)
    mean, least = similarity(engine, backbone, pictures[:COMPARED])
    found = f"OpenVINO's features have a cosine of {mean:.4f} with float32's, at worst {least:.4f}"
    if mean >= LEAST_MEAN and least >= LEAST:
        print(f"{found}: it is used.")
        return engine
    if name == "openvino":
        raise UserError(f"{found}, where {LEAST_MEAN} and {LEAST} are needed; set embed.engine: torch.")
    print(f"{found}: PyTorch is used.")
    return Engine(backbone, device, precision)


def _why_not_openvino(device: Device, precision: Precision) -> str:
    """Empty where it can be tried."""
    where = resolve_device(device)
    if where != "cpu":
        return f"OpenVINO is not for {where} here"
    if resolve_precision(precision, where) not in HINTS:
        return f"OpenVINO has no {precision}"
    return "" if is_installed() else "OpenVINO is not installed"


def similarity(engine: Engine, backbone: Backbone, pictures: Sequence[Path | bytes]) -> tuple[float, float]:
    """The mean and the least cosine of the engine's features of pictures with PyTorch's in float32."""
    exact = Engine(backbone, "cpu", "float32").embed(pictures, 1, "float32")
    cosine = torch.nn.functional.cosine_similarity(engine.embed(pictures, 1, "float32"), exact)
    return float(cosine.mean()), float(cosine.min())
