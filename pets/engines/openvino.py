"""A backbone run by OpenVINO, which is made for CPUs: about twice as fast there as PyTorch."""

import warnings
from importlib.util import find_spec
from typing import Any

import torch
from torch import nn

from pets.backbones.base import Backbone
from pets.core.errors import UserError
from pets.engines.device import Device, Precision, resolve_precision
from pets.engines.pytorch import Engine
from pets.images.preprocessing import Preprocessing

HINTS = {"float32": "f32", "bfloat16": "bf16"}


def is_installed() -> bool:
    """Whether the optional package is there."""
    return find_spec("openvino") is not None


class OpenVino(Engine):
    """Computes a backbone's features as `Engine` does; the network is converted on first use, in seconds.

    Raises UserError where OpenVINO is not installed, or has not that device or precision.
    """

    def __init__(self, backbone: Backbone, device: Device, precision: Precision) -> None:
        if not is_installed():
            raise UserError("embed.engine is openvino, which is not installed: run `pip install openvino`.")
        where = "cpu" if device == "auto" else device
        super().__init__(backbone, where, "float32")
        self.precision = resolve_precision(precision, where)
        if where != "cpu" or self.precision not in HINTS:
            raise UserError(
                f"embed.engine is openvino, which runs on the CPU in float32 or bfloat16, not on {where} in "
                f"{self.precision}; set embed.engine: torch."
            )
        self._compiled: dict[torch.Size, Any] = {}

    def full_batch(self, images: torch.Tensor) -> torch.Tensor:
        """See `Engine.full_batch`."""
        if images.shape not in self._compiled:
            self._compiled[images.shape] = self._compile(images)
        return torch.from_numpy(self._compiled[images.shape](images.numpy())[0].copy())

    def _compile(self, images: torch.Tensor) -> Any:
        # By the front end itself, since openvino.convert_model reports its use to OpenVINO's makers.
        from openvino import Core
        from openvino.frontend import FrontEndManager
        from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

        network = _FromBytes(self.network, self.preprocessing).eval()
        front_end = FrontEndManager().load_by_framework("pytorch")
        with torch.inference_mode(), warnings.catch_warnings(action="ignore"):
            decoder = TorchScriptPythonDecoder(network, example_input=(images,))
            model = front_end.convert(front_end.load(decoder))
        model.reshape(list(images.shape))
        return Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": HINTS[self.precision]})


class _FromBytes(nn.Module):
    """A network that takes uint8 images [n, 3, side, side]."""

    def __init__(self, network: nn.Module, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.network = network
        self.preprocessing = preprocessing

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.network(self.preprocessing.normalize(images.float() / 255))
