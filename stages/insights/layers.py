"""A network's layers by name, and what they put out on the way to the features."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import isqrt

import torch
from torch import nn

from stages.errors import UserError, nearest

# A padding only adds a rim to what the layer before it put out, and MaxViT cuts maps into windows, which can
# look like maps again.
REARRANGING = ("Pad", "WindowPartition", "SwapAxes")


@contextmanager
def recorded(
    network: nn.Module, layers: Sequence[str], *, copied: bool = False
) -> Iterator[dict[str, torch.Tensor]]:
    """Within it, each forward pass leaves these layers' outputs, by name, in the dictionary.

    Of a module that a pass uses more than once, the last output counts, and its place in the order.
    """
    outputs: dict[str, torch.Tensor] = {}

    def keeper(name: str) -> object:
        def keep(module: nn.Module, inputs: object, output: torch.Tensor) -> None:
            outputs.pop(name, None)  # a shared activation stands where it fired last
            outputs[name] = output.clone() if copied else output

        return keep

    handles = [network.get_submodule(name).register_forward_hook(keeper(name)) for name in layers]  # type: ignore[arg-type]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()


def as_maps(output: object) -> torch.Tensor | None:
    """A layer's output as feature maps [n, channels, side, side], or None where it has no places.

    As it is, a convolution's [n, channels, side, side]. Turned, without a copy: channels last, [n, side,
    side, channels], as in a Swin transformer; and a vision transformer's tokens, [n, 1 + side * side,
    channels], of which the first is the class's and stands nowhere.
    """
    if not isinstance(output, torch.Tensor):
        return None
    maps = output
    if maps.dim() == 3 and maps.shape[1] > 1 and (side := isqrt(maps.shape[1] - 1)) ** 2 == maps.shape[1] - 1:
        maps = maps[:, 1:].unflatten(1, (side, side))
    if maps.dim() != 4:
        return None
    if maps.shape[1] == maps.shape[2] != maps.shape[3]:
        maps = maps.permute(0, 3, 1, 2)
    return maps if maps.shape[-2] == maps.shape[-1] > 1 else None


def with_maps(network: nn.Module, image: torch.Tensor) -> dict[str, tuple[int, int]]:
    """Every layer that puts out feature maps, and how many channels and positions a side, in their order.

    ``image`` [1, 3, side, side], any. What counts as maps, `as_maps` says.
    """
    names = [
        name
        for name, module in network.named_modules()
        if name and not any(kind in type(module).__name__ for kind in REARRANGING)
    ]
    with torch.inference_mode(), recorded(network, names) as outputs:
        network(image.expand(2, -1, -1, -1))  # two tell a table, such as Swin v2's of positions, from maps
    return {
        name: (maps.shape[1], maps.shape[-1])
        for name, output in outputs.items()
        if (maps := as_maps(output)) is not None and len(maps) == 2
    }


def representative(maps: Mapping[str, tuple[int, int]]) -> list[str]:
    """A few layers that stand for a network: of each size of map one, the largest first.

    It is the last of those highest in the network's hierarchy. So a ResNet shows its stages (layer1, layer2
    ...), a VGG the last ReLU before each pooling. Where all maps are of one size, as in a vision transformer,
    the last of each quarter of its blocks.
    """
    sizes = sorted({side for _, side in maps.values()}, reverse=True)
    rows = [_rows([name for name, (_, side) in maps.items() if side == size]) for size in sizes]
    if len(rows) == 1:
        blocks = next((row for row in rows[0] if len(row) >= 4), [])
        if blocks:
            return [blocks[len(blocks) * quarter // 4 - 1] for quarter in (1, 2, 3, 4)]
    return [highest[-1] for highest, *_ in rows]


def _rows(names: Sequence[str]) -> list[list[str]]:
    """Names by their depth in the hierarchy, the highest first."""
    depths = sorted({name.count(".") for name in names})
    return [[name for name in names if name.count(".") == depth] for depth in depths]


def check(wanted: Mapping[str, Sequence[int]], maps: Mapping[str, tuple[int, int]], backbone: str) -> None:
    """UserError where a layer that is asked for has no feature maps, or not the channels asked of it."""
    for name, channels in wanted.items():
        if name not in maps:
            raise UserError(
                f"params.yaml: features.layers names '{name}', which is no layer of {backbone} with feature "
                f"maps; {nearest(name, maps)}"
            )
        count, _ = maps[name]
        if channels and max(channels) >= count:
            raise UserError(
                f"params.yaml: features.layers asks for channel {max(channels)} of '{name}', of which "
                f"{backbone} has {count}: 0 to {count - 1}."
            )
