"""A network's layers by name, and what they put out on the way to the features."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn

from stages.errors import UserError, nearest


@contextmanager
def recorded(network: nn.Module, layers: Sequence[str]) -> Iterator[dict[str, torch.Tensor]]:
    """Within it, each forward pass leaves these layers' outputs, by name, in the dictionary.

    Of a module that a pass uses more than once, the last output counts, and its place in the order.
    """
    outputs: dict[str, torch.Tensor] = {}

    def keeper(name: str) -> object:
        def keep(module: nn.Module, inputs: object, output: torch.Tensor) -> None:
            outputs.pop(name, None)  # a shared activation stands where it fired last
            outputs[name] = output

        return keep

    handles = [network.get_submodule(name).register_forward_hook(keeper(name)) for name in layers]  # type: ignore[arg-type]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()


def with_maps(network: nn.Module, image: torch.Tensor) -> dict[str, tuple[int, int]]:
    """Every layer that puts out feature maps, and how many channels and positions a side, in their order.

    ``image`` [1, 3, side, side], any. A transformer whose layers put out tokens, or channels last, has few or
    none of them.
    """
    # A padding only adds a rim to what the layer before it put out.
    names = [name for name, module in network.named_modules() if name and "Pad" not in type(module).__name__]
    with torch.inference_mode(), recorded(network, names) as outputs:
        network(image)
    return {
        name: (output.shape[1], output.shape[-1])
        for name, output in outputs.items()
        if isinstance(output, torch.Tensor) and output.dim() == 4 and output.shape[-2] == output.shape[-1] > 1
    }


def last_of_each_size(maps: dict[str, tuple[int, int]]) -> list[str]:
    """Of each size of map one layer, the largest first: the last of those highest in the network's hierarchy.

    So a ResNet shows its stages (layer1, layer2 ...), a VGG the last ReLU before each pooling.
    """
    chosen = []
    for size in sorted({size for _, size in maps.values()}, reverse=True):
        names = [name for name, (_, side) in maps.items() if side == size]
        highest = min(name.count(".") for name in names)
        chosen.append([name for name in names if name.count(".") == highest][-1])
    return chosen


def check(wanted: Sequence[str], maps: dict[str, tuple[int, int]], backbone: str) -> list[str]:
    """The layers asked for; UserError with the nearest names where one has no feature maps."""
    for name in wanted:
        if name not in maps:
            raise UserError(
                f"params.yaml: features.layers names '{name}', which is no layer of {backbone} with feature "
                f"maps; {nearest(name, maps)}"
            )
    return list(wanted)
