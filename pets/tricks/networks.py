"""Networks of many runs as stacked tensors: [seeds, recipes, out, in].

All runs have one structure (`Recipe.structure`). Activations are [seeds, recipes, units, images]: the first
layer of a seed's recipes is one product of all their weights with the images that the seed has drawn.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch.nn import functional

from pets.tricks.recipe import Recipe

NORM_MOMENTUM, NORM_EPSILON = 0.1, 1e-5  # of batch normalization, PyTorch's defaults


class Networks:
    """``parameters`` is all that is trained.

    ``state`` is weights and biases of each layer, then batch normalization's scale, shift, and running mean
    and variance. The bias in front of it stays zero: batch normalization takes away what it adds.
    """

    def __init__(
        self,
        recipes: Sequence[Recipe],
        units: Sequence[int],
        draws: Sequence[torch.Generator],
        device: torch.device,
    ) -> None:
        """``units``: inputs, hidden units if any, and classes; ``draws``: a CPU generator for each seed."""
        self.structure = recipes[0].structure
        runs = len(draws), len(recipes)
        self.state: list[torch.Tensor] = []
        for inputs, outputs in pairwise(units):
            drawn = torch.stack([torch.rand(outputs, inputs, generator=each) * 2 - 1 for each in draws])
            bounds = torch.tensor([_bound(each.init, inputs, outputs) for each in recipes])
            self.state.append((drawn[:, None] * bounds[:, None, None]).to(device))
            self.state.append(torch.zeros(*runs, outputs, device=device))
        self.layers = len(units) - 1
        trained = list(self.state)
        if self.structure.batch_norm and self.layers > 1:
            shape = *runs, units[1]
            self.state += [torch.full(shape, value, device=device) for value in (1.0, 0.0, 0.0, 1.0)]
            trained = [self.state[place] for place in (0, 2, 3, 4, 5)]
        self.parameters = [each.requires_grad_() for each in trained]

    def training_logits(self, x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """[seeds, recipes, classes, images] of ``x`` [seeds, images, dimensions].

        ``mask``, for dropout, is [seeds, images, dimensions] or, with a hidden layer, [seeds, 1, units,
        images]. Batch normalization takes the statistics of ``x``, and updates the running ones.
        """
        if self.layers == 1 and self.structure.batch_norm:
            x = x - x.mean(1, keepdim=True)
            x = x / (x.square().mean(1, keepdim=True) + NORM_EPSILON).sqrt()
        if self.layers == 1 and mask is not None:
            return self._forward(x * mask, self.state, None, training=True)
        return self._forward(x, self.state, mask, training=True)

    def logits(self, x: torch.Tensor, state: Sequence[torch.Tensor]) -> torch.Tensor:
        """[seeds, recipes, classes, images] of ``x`` [images, dimensions] by the weights of ``state``."""
        return self._forward(x, state, None, training=False)

    def _forward(
        self, x: torch.Tensor, state: Sequence[torch.Tensor], mask: torch.Tensor | None, training: bool
    ) -> torch.Tensor:
        weight, bias = state[:2]
        found = (weight.flatten(1, 2) @ x.mT).unflatten(1, weight.shape[1:3]) + bias.unsqueeze(3)
        if self.layers == 1:
            return found
        if self.structure.batch_norm:
            scale, shift, mean, variance = state[4:]
            found = functional.batch_norm(
                found.flatten(0, 2).unsqueeze(0), mean.view(-1), variance.view(-1), scale.flatten(),
                shift.flatten(), training, NORM_MOMENTUM, NORM_EPSILON,
            ).view_as(found)  # fmt: skip
        hidden = functional.relu(found)
        if mask is not None:
            hidden = hidden * mask
        return state[2] @ hidden + state[3].unsqueeze(3)


def _bound(init: str, inputs: int, outputs: int) -> float:
    """Weights are drawn evenly within plus and minus this."""
    return {
        "default": inputs**-0.5,
        "zeros": 0.0,
        "large": 10 * (6 / inputs) ** 0.5,
        "xavier": (6 / (inputs + outputs)) ** 0.5,
        "he": (6 / inputs) ** 0.5,
    }[init]
