"""A backbone run by OpenVINO, which is made for CPUs: 2.5 times as fast there as PyTorch."""

import warnings
from collections import deque
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from pets.backbones.base import Backbone
from pets.core.errors import UserError
from pets.engines.device import Device, Precision, resolve_precision
from pets.engines.pytorch import Engine
from pets.images.preprocessing import Preprocessing

BATCH = 8  # images; 16 are 5% slower, since each core has a batch of its own in its cache
HINTS = {"float32": "f32", "bfloat16": "bf16"}


def is_installed() -> bool:
    """Whether the optional package is there."""
    return find_spec("openvino") is not None


class OpenVino(Engine):
    """Computes a backbone's features as `Engine` does; the network is converted on first use, in seconds.

    Raises UserError where OpenVINO is not installed, or has not that device or precision.
    """

    name = "openvino"

    def __init__(self, backbone: Backbone, device: Device, precision: Precision) -> None:
        if not is_installed():
            raise UserError("embed.engine is openvino, which is not installed: run `pip install openvino`.")
        where = "cpu" if device == "auto" else device
        super().__init__(backbone, where, "float32")
        self.precision = resolve_precision(precision, where)
        self.batch_size = BATCH
        if where != "cpu" or self.precision not in HINTS:
            raise UserError(
                f"embed.engine is openvino, which runs on the CPU in float32 or bfloat16, not on {where} in "
                f"{self.precision}; set embed.engine: torch."
            )
        self._models: dict[torch.Size, Any] = {}
        self._free: dict[torch.Size, list[Any]] = {}  # inference requests that can be used again

    def run(self, batches: Iterable[list[torch.Tensor]]) -> Iterator[np.ndarray]:
        """See `Engine.run`. Each core computes a batch of its own, so that none waits for another."""
        started: deque[list[_Started]] = deque()
        for views in batches:
            started.append([self._start(view) for view in views])
            if len(started) > torch.get_num_threads():
                yield self._finish(started.popleft())
        while started:
            yield self._finish(started.popleft())

    def _start(self, view: torch.Tensor) -> "_Started":
        images = self.padded(view)
        if images.shape not in self._models:
            self._models[images.shape], self._free[images.shape] = self._compile(images), []
        free = self._free[images.shape]
        request = free.pop() if free else self._models[images.shape].create_infer_request()
        request.start_async([_channels_last(images)])  # copies them
        return _Started(request, images.shape, len(view))

    def _finish(self, views: list["_Started"]) -> np.ndarray:
        features = []
        for each in views:
            each.request.wait()
            features.append(torch.from_numpy(each.request.get_output_tensor(0).data[: each.images].copy()))
            self._free[each.shape].append(each.request)
        return torch.stack(features).mean(0).numpy()

    def convert(self, images: torch.Tensor) -> Any:
        """The network as OpenVINO's model, for ``images``, uint8 [n, 3, side, side], with channels last."""
        # By the front end itself, since openvino.convert_model reports its use to OpenVINO's makers.
        from openvino.frontend import FrontEndManager
        from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

        channels_last = images.permute(0, 2, 3, 1).contiguous()
        network = _FromBytes(self.network, self.preprocessing).eval()
        front_end = FrontEndManager().load_by_framework("pytorch")
        with torch.inference_mode(), warnings.catch_warnings(action="ignore"):
            # PyTorch's check of the trace takes twice as long as the trace; the features are compared anyway.
            unchecked = {"check_trace": False}
            decoder = TorchScriptPythonDecoder(
                network, example_input=(channels_last,), trace_kwargs=unchecked
            )
            model = front_end.convert(front_end.load(decoder))
        model.reshape(list(channels_last.shape))
        return model

    def _compile(self, images: torch.Tensor) -> Any:
        from openvino import Core

        settings = {
            "INFERENCE_PRECISION_HINT": HINTS[self.precision],
            "PERFORMANCE_HINT": "THROUGHPUT",
            "NUM_STREAMS": torch.get_num_threads(),
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        }
        return Core().compile_model(self.convert(images), "CPU", settings)


class _Started(NamedTuple):
    """A batch that is being computed."""

    request: Any
    shape: torch.Size
    images: int


def _channels_last(images: torch.Tensor) -> np.ndarray:
    return images.permute(0, 2, 3, 1).contiguous().numpy()


class _FromBytes(nn.Module):
    """A network that takes uint8 images [n, side, side, 3], as they lie in memory."""

    def __init__(self, network: nn.Module, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.network = network
        self.preprocessing = preprocessing

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.network(self.preprocessing.normalize(images.permute(0, 3, 1, 2).float() / 255))
