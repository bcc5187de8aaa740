"""A backbone prepared for gradients with respect to its input, ten times as fast on a CPU as unprepared.

The batch norms are folded into the convolutions before them (Jacob et al.: Quantization and training of
neural networks, CVPR 2018, section 3.2). In evaluation mode both are linear, so only rounding changes; but
the backward pass of a batch norm takes longer than all convolutions, above all in bfloat16. Weights get no
gradient.
"""

import copy
from functools import partial

import torch
from torch import nn

from pets.backbones.base import Backbone
from pets.engines.device import Device, resolve_device
from pets.engines.pytorch import EXACT, in_float32

TOLERANCE = 1e-3  # relative to the largest feature: if folding changes a feature by more, it is not used


class Differentiable(nn.Module):
    """Features [n, dimensions] of normalized images [n, 3, side, side]; see `differentiable`."""

    def __init__(self, network: nn.Module, device: str, dtype: torch.dtype) -> None:
        super().__init__()
        self.network = network
        self.device = device
        self.dtype = dtype

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """float64 where that is the precision, else float32."""
        images = images.to(self.device, memory_format=torch.channels_last)
        if self.dtype == torch.float64:
            features: torch.Tensor = self.network(images)
            return features
        with torch.autocast(self.device, self.dtype, enabled=self.dtype != torch.float32):
            return self.network(images).float()


def differentiable(backbone: Backbone, device: Device, precision: str) -> Differentiable:
    """A copy of the backbone's features for gradients, on ``device`` ("auto": a GPU where there is one).

    ``precision``: float64, float32, bfloat16, or float16, which becomes bfloat16: small gradients would
    vanish in float16. Give a backbone that no Engine has taken: an Engine changes the modules copied here.
    """
    where = resolve_device(device)
    dtype = torch.bfloat16 if precision == "float16" else getattr(torch, precision)
    network = _folded(backbone.features, backbone.preprocessing.crop)
    network = network.to(where, torch.float64 if dtype == torch.float64 else torch.float32)
    network = network.to(memory_format=torch.channels_last)
    if dtype == torch.bfloat16:
        convolutions = [each for each in network.modules() if isinstance(each, nn.Conv2d)]
        for number, convolution in enumerate(convolutions):
            # A CPU has no kernel for a strided depthwise gradient in bfloat16: it takes ten times as long.
            slow = where == "cpu" and convolution.groups > 1 and convolution.stride != (1, 1)
            if number < EXACT or slow:
                in_float32(convolution, where)
    return Differentiable(network, where, dtype)


def _folded(network: nn.Module, side: int) -> nn.Module:
    """A copy whose batch norms are folded away, or a plain copy where that would change what it computes."""
    plain, folded = copy.deepcopy(network), copy.deepcopy(network)
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(1, 3, side, side, generator=generator)
    for path, convolution, norm in convolutions_before_norms(folded, images):
        fused = nn.utils.fusion.fuse_conv_bn_eval(convolution, norm).requires_grad_(False)
        convolution.weight, convolution.bias = fused.weight, fused.bias
        parent, _, name = path.rpartition(".")
        # In timm a norm may have its activation in it.
        setattr(folded.get_submodule(parent), name, getattr(norm, "act", nn.Identity()))
    with torch.inference_mode():
        expected, got = plain(images), folded(images)
    return folded if (expected - got).abs().max() <= TOLERANCE * expected.abs().max() else plain


def convolutions_before_norms(
    network: nn.Module, images: torch.Tensor
) -> list[tuple[str, nn.Conv2d, nn.BatchNorm2d]]:
    """Each batch norm, by its path, that takes a convolution's output as it is, and that convolution."""
    made: dict[int, tuple[nn.Conv2d, torch.Tensor]] = {}  # the tensors too, so that no id is used again
    pairs: list[tuple[str, nn.Conv2d, nn.BatchNorm2d]] = []

    def record(path: str, module: nn.Module, inputs: tuple[torch.Tensor], output: torch.Tensor) -> None:
        if isinstance(module, nn.Conv2d):
            made[id(output)] = module, output
        elif isinstance(module, nn.BatchNorm2d) and id(inputs[0]) in made:
            pairs.append((path, made[id(inputs[0])][0], module))

    hooks = [each.register_forward_hook(partial(record, path)) for path, each in network.named_modules()]
    with torch.inference_mode():
        network(images)
    for hook in hooks:
        hook.remove()
    return pairs
