"""A backbone and a linear head as one trainable network: what is frozen, and how fast each layer learns."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.func import functional_call
from torch.utils.checkpoint import checkpoint

from pets.backbones.base import Backbone
from pets.core.errors import UserError
from pets.engines.gradients import TOLERANCE, convolutions_before_norms
from pets.heads import linear

GROUPS = 12  # of layers, each with a learning rate of its own


class Network(nn.Module):
    """Normalized images [n, 3, side, side] to logits [n, classes], by the head ``linear`` on the features."""

    def __init__(self, features: nn.Module, start: dict[str, torch.Tensor]) -> None:
        """``start``: the tensors of a fitted head (see `pets.heads.linear`)."""
        super().__init__()
        self.features = features
        self.head = nn.ParameterDict({name: nn.Parameter(tensor.clone()) for name, tensor in start.items()})

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """The head in float32."""
        features = self.features(images)
        with torch.autocast(features.device.type, enabled=False):
            return linear.logits(dict(self.head.items()), features.float())


def at_size(backbone: Backbone, size: int | None) -> Backbone:
    """The backbone with inputs of ``size`` pixels a side; UserError where it takes one size only."""
    own = backbone.preprocessing
    if size in (None, own.crop):
        return backbone
    if own.whole == own.crop:
        raise UserError(
            f"params.yaml: finetune.size is {size}, and {backbone.name} takes pictures of {own.crop} pixels "
            "only; leave it empty."
        )
    return replace(backbone, preprocessing=own.at_size(size))


def trainable(backbone: Backbone, start: dict[str, torch.Tensor], device: str) -> Network:
    """The backbone and the head on ``device``, all weights unfrozen, every layer in evaluation mode.

    Evaluation mode means no dropout, so that a step has no randomness but its crops and a batch may be
    computed in parts. Batch norms keep the statistics of their pretraining: those of a small batch are noisy,
    and training would fit weights to statistics that evaluation does not use.
    """
    network = Network(backbone.features, start).to(device).to(memory_format=torch.channels_last)
    return network.eval().requires_grad_(True)


def unfreeze_batch_norms(network: nn.Module) -> None:
    """Let batch norms use the statistics of each batch and keep their running means up to date."""
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.train()


def fold_batch_norms(network: Network, side: int) -> None:
    """Compute each frozen batch norm within the convolution before it, at each step anew.

    With frozen statistics it is linear in each channel, so that scaling the convolution's weights, and its
    gradients, are the same up to rounding; but no activation is kept or differentiated for it, which makes a
    step on a CPU up to 1.5 times as fast. Only ``forward`` of these modules changes, no parameter. Where the
    logits would change, as of a convolution that something else reads too, nothing is folded.
    """
    parameter = next(network.parameters())
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(1, 3, side, side, generator=generator, dtype=parameter.dtype).to(parameter.device)
    changed: list[nn.Module] = []
    with torch.no_grad():
        expected = network.features(images)
        for _, convolution, norm in convolutions_before_norms(network.features, images):
            _replace_forward(convolution, partial(_folded, copy.copy(convolution), norm))
            _replace_forward(norm, partial(_activation, norm))
            changed += [convolution, norm]
        difference = (network.features(images) - expected).abs().max()
    if difference > TOLERANCE * expected.abs().max():
        for module in changed:
            del module.forward


def _replace_forward(module: Any, function: Callable[..., torch.Tensor]) -> None:
    module.forward = function  # of this object, and not of its copies, which share its parameters


def _folded(convolution: nn.Conv2d, norm: nn.BatchNorm2d, images: torch.Tensor) -> torch.Tensor:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = (norm.running_var + norm.eps).rsqrt()
    shift = -norm.running_mean if convolution.bias is None else convolution.bias - norm.running_mean
    if norm.affine:
        scale = scale * norm.weight
    bias = shift * scale + norm.bias if norm.affine else shift * scale
    weights = {"weight": convolution.weight * scale.view(-1, 1, 1, 1), "bias": bias}
    result: torch.Tensor = functional_call(convolution, weights, (images,))
    return result


def _activation(norm: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """In timm a norm may have its activation in it."""
    act: Any = getattr(norm, "act", None)
    result: torch.Tensor = images if act is None else act(images)
    return result


def checkpoint_gradients(backbone: Backbone) -> None:
    """Keep only the blocks' inputs for the backward pass and compute the rest again: less memory, more time.

    Chen et al.: Training deep nets with sublinear memory cost, 2016. UserError where there are no blocks.
    """
    found = list(_blocks(backbone.features))
    if not found:
        raise UserError(
            f"{backbone.name} is no sequence of blocks; set finetune.gradient_checkpointing: false."
        )
    for block in found:
        recomputed = partial(checkpoint, block.forward, use_reentrant=False, preserve_rng_state=False)
        _replace_forward(block, recomputed)


def _blocks(network: nn.Module) -> Iterator[nn.Module]:
    """The modules with parts of their own that follow each other in a sequence."""
    sequence = isinstance(network, nn.Sequential | nn.ModuleList)
    for module in network.children():
        if (
            sequence
            and not isinstance(module, nn.Sequential | nn.ModuleList)
            and any(True for _ in module.children())
        ):
            yield module
        else:
            yield from _blocks(module)


def parameter_groups(
    network: Network, learning_rate: float, layer_decay: float, weight_decay: float
) -> list[dict[str, Any]]:
    """Groups for an optimizer, each with ``params``, ``lr`` and ``weight_decay``.

    The last layers and the head have the ``learning_rate``, the first ones ``layer_decay`` times that, and
    those between in geometric steps: early layers are more general (Howard, Ruder: Universal language model
    fine-tuning for text classification, ACL 2018). The depth of a layer is its place in the network's list of
    modules. Biases and the parameters of norms are not decayed.
    """
    layers = [each for each in network.features.modules() if list(each.parameters(recurse=False))]
    groups: dict[tuple[int, bool], list[nn.Parameter]] = {}
    for place, layer in enumerate([*layers, network.head]):
        group = min(place * GROUPS // len(layers), GROUPS - 1)
        for parameter in layer.parameters(recurse=False):
            groups.setdefault((group, parameter.ndim > 1), []).append(parameter)
    return [
        {
            "params": parameters,
            "lr": learning_rate * layer_decay ** (1 - group / (GROUPS - 1)),
            "weight_decay": weight_decay if matrix else 0.0,
        }
        for (group, matrix), parameters in groups.items()
    ]
