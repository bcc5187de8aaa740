"""A network's layers by name, and their outputs."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from math import isqrt

import torch
from torch import nn

from pets.core.errors import UserError, nearest

# Padding only adds a border to the output of the layer before it, and MaxViT cuts maps into windows, which
# can look like maps again.
REARRANGING = ("Pad", "WindowPartition", "SwapAxes")
# Inside attention are projections, and tables of positions by positions.
ATTENTION = "Att"  # in the names of its classes
# How many tokens may come before those of the positions, the most usual first: a class token, none (SigLIP),
# registers with or without a class token (DINOv2, DINOv3), or a second class token (DeiT).
PREFIXES = (1, 0, 5, 4, 2)


@contextmanager
def recorded(
    network: nn.Module, layers: Sequence[str], *, copied: bool = False
) -> Iterator[dict[str, torch.Tensor]]:
    """Within this context each forward pass puts these layers' outputs into the dictionary, by name.

    Of a module that a pass uses more than once, the last output counts, and its place in the order.
    """
    outputs: dict[str, torch.Tensor] = {}

    def record(name: str, module: nn.Module, inputs: object, output: torch.Tensor) -> None:
        outputs.pop(name, None)  # so that a shared activation is where it was used last
        outputs[name] = output.clone() if copied else output

    handles = [network.get_submodule(name).register_forward_hook(partial(record, name)) for name in layers]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()


def as_maps(output: object) -> torch.Tensor | None:
    """A layer's output as feature maps [n, channels, side, side], or None where it has no spatial positions.

    A convolution's [n, channels, side, side] as it is. Permuted, without a copy: channels last, [n, side,
    side, channels], as in a Swin transformer; and a vision transformer's tokens, [n, tokens, channels],
    without the first ones that have no position, such as the class token.
    """
    if not isinstance(output, torch.Tensor):
        return None
    maps = output
    if maps.dim() == 3:
        for first in PREFIXES:
            side = isqrt(max(0, maps.shape[1] - first))
            if first + side * side == maps.shape[1]:
                maps = maps[:, first:].unflatten(1, (side, side))
                break
    if maps.dim() != 4:
        return None
    if maps.shape[1] == maps.shape[2] != maps.shape[3]:
        maps = maps.permute(0, 3, 1, 2)
    return maps if maps.shape[-2] == maps.shape[-1] > 1 else None


def with_maps(network: nn.Module, side: int) -> dict[str, tuple[int, int]]:
    """Every layer that outputs feature maps, in order: its number of channels, and of positions a side.

    ``side``: of the network's input. See `as_maps` for what counts as maps.
    """
    two = torch.zeros(2, 3, side, side, device=next(network.parameters()).device)
    kinds = {name: type(module).__name__ for name, module in network.named_modules()}
    attentions = tuple(f"{name}." for name, kind in kinds.items() if ATTENTION in kind)
    names = [
        name
        for name, kind in kinds.items()
        if name and not any(each in kind for each in REARRANGING) and not name.startswith(attentions)
    ]
    with torch.inference_mode(), recorded(network, names) as outputs:
        network(two)  # tells maps from a table, such as Swin v2's of positions
    return {
        name: (maps.shape[1], maps.shape[-1])
        for name, output in outputs.items()
        if (maps := as_maps(output)) is not None and len(maps) == 2
    }


def representative(maps: Mapping[str, tuple[int, int]]) -> list[str]:
    """A few layers that represent a network: one for each size of map, the largest first.

    It is the last of those highest in the network's hierarchy: a ResNet's stages (layer1, layer2 ...), a
    VGG's last ReLU before each pooling. Where all maps have the same size, as in a vision transformer, it is
    the last of each quarter of its blocks.
    """
    sizes = sorted({side for _, side in maps.values()}, reverse=True)
    rows = [_by_depth([name for name, (_, side) in maps.items() if side == size]) for size in sizes]
    numbered = [[name for name in row if name[-1].isdigit()] for row in (rows[0] if len(rows) == 1 else ())]
    if blocks := next((row for row in numbered if len(row) >= 4), None):
        return [blocks[len(blocks) * quarter // 4 - 1] for quarter in (1, 2, 3, 4)]
    return [highest[-1] for highest, *_ in rows]


def _by_depth(names: Sequence[str]) -> list[list[str]]:
    """Names by their depth in the hierarchy, the highest first."""
    depths = sorted({name.count(".") for name in names})
    return [[name for name in names if name.count(".") == depth] for depth in depths]


def in_words(name: str, layers: Sequence[str]) -> str:
    """Where a layer is, without its name: "block 11 of 16, middle of the network".

    ``layers``: the names of all layers, in order. A number in a name counts where all of its kind are
    numbered, in a list or as blocks; what is in such a block is said to be in it.
    """
    third = ("beginning", "middle", "end")[3 * layers.index(name) // len(layers)]
    parents = {each.rpartition(".")[0] for each in layers}
    of = name
    while of and not re.search(r"\d$" if of in parents else r"(^|\.)\d+$", of):
        of = of.rpartition(".")[0]
    alike = [each for each in layers if re.sub(r"\d+", "", each) == re.sub(r"\d+", "", of)]
    if len(alike) < 2 or of not in alike:
        return f"{third} of the network"
    kind = "block" if of in parents else "layer"
    inside = "in " if of != name else ""
    return f"{inside}{kind} {alike.index(of) + 1} of {len(alike)}, {third} of the network"


def choose_layers(
    wanted: Mapping[str, Sequence[int]], maps: Mapping[str, tuple[int, int]], backbone: str
) -> dict[str, list[int]]:
    """The ``wanted`` layers with their channels, each once; if there are none, representative ones.

    UserError where a layer has no feature maps, or not the channels wanted.
    """
    for name, channels in wanted.items():
        if name not in maps:
            raise UserError(
                f"params.yaml: features.layers names '{name}', but {backbone} has no such layer with feature "
                f"maps; {nearest(name, maps)}"
            )
        count, _ = maps[name]
        if channels and max(channels) >= count:
            raise UserError(
                f"params.yaml: features.layers names channel {max(channels)} of '{name}', but in {backbone} "
                f"that layer has {count} channels: 0 to {count - 1}."
            )
    layers = {name: list(dict.fromkeys(channels)) for name, channels in wanted.items()}
    return layers or {name: [] for name in representative(maps)}
