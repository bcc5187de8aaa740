"""PyTorch's optimizers and schedules for many runs at once, each with settings of its own.

Every parameter is [seeds, recipes, ...]; a setting is [recipes]. The updates are those of torch.optim.SGD,
Adam and AdamW, which take one setting for all. A schedule's factors come from PyTorch's own schedulers.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import torch

from pets.tricks.recipe import Recipe

BETAS, EPSILON = (0.9, 0.999), 1e-8  # of Adam, PyTorch's defaults


class Optimizer(Protocol):
    """Changes parameters by their gradients, in place."""

    def step(self, gradients: Sequence[torch.Tensor], rate: torch.Tensor) -> None:
        """One step; ``rate`` [recipes]. The gradients may be overwritten."""


class Sgd:
    """torch.optim.SGD with momentum, the same for all recipes, and weight decay."""

    def __init__(self, parameters: Sequence[torch.Tensor], recipes: Sequence[Recipe]) -> None:
        self.parameters = parameters
        self.decay = _setting([each.weight_decay for each in recipes], parameters)
        self.momentum, self.nesterov = recipes[0].momentum, recipes[0].nesterov
        self.sums = [torch.zeros_like(each) for each in parameters] if self.momentum else []

    def step(self, gradients: Sequence[torch.Tensor], rate: torch.Tensor) -> None:
        """See `Optimizer.step`."""
        for place, (parameter, gradient) in enumerate(zip(self.parameters, gradients, strict=True)):
            if self.decay.any():
                gradient.addcmul_(_as(self.decay, gradient), parameter)
            direction = gradient
            if self.momentum:
                total = self.sums[place].mul_(self.momentum).add_(gradient)
                direction = gradient.add_(total, alpha=self.momentum) if self.nesterov else total
            parameter.addcmul_(_as(rate, gradient), direction, value=-1)


class Adam:
    """torch.optim.Adam, or with ``decoupled`` weight decay AdamW."""

    def __init__(
        self, parameters: Sequence[torch.Tensor], recipes: Sequence[Recipe], decoupled: bool
    ) -> None:
        self.parameters = parameters
        self.decay = _setting([each.weight_decay for each in recipes], parameters)
        self.decoupled = decoupled
        self.means = [torch.zeros_like(each) for each in parameters]
        self.squares = [torch.zeros_like(each) for each in parameters]
        self.steps = 0

    def step(self, gradients: Sequence[torch.Tensor], rate: torch.Tensor) -> None:
        """See `Optimizer.step`."""
        self.steps += 1
        of_mean, of_square = (1 - beta**self.steps for beta in BETAS)
        for parameter, gradient, mean, square in zip(
            self.parameters, gradients, self.means, self.squares, strict=True
        ):
            if self.decay.any() and self.decoupled:
                parameter.mul_(_as(1 - rate * self.decay, gradient))
            elif self.decay.any():
                gradient.addcmul_(_as(self.decay, gradient), parameter)
            mean.lerp_(gradient, 1 - BETAS[0])
            square.mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
            size = torch.sqrt(square, out=gradient).mul_(of_square**-0.5).add_(EPSILON)
            parameter.addcmul_(_as(rate / of_mean, gradient), mean.div(size), value=-1)


def optimizer(parameters: Sequence[torch.Tensor], recipes: Sequence[Recipe]) -> Optimizer:
    """That of the recipes, which all have the same but for their settings."""
    kind = recipes[0].optimizer
    return Sgd(parameters, recipes) if kind == "sgd" else Adam(parameters, recipes, kind == "adamw")


def clip(gradients: Sequence[torch.Tensor], limits: torch.Tensor) -> None:
    """Shorten, in place, each run's gradient to the L2 norm ``limits`` [recipes], as PyTorch does."""
    for recipe in limits.isfinite().nonzero().view(-1).tolist():
        squared = torch.stack([each[:, recipe].flatten(1).square().sum(1) for each in gradients]).sum(0)
        factor = (limits[recipe] / (squared.sqrt() + 1e-6)).clamp(max=1)  # [seeds]
        for each in gradients:
            each[:, recipe].mul_(factor.view(-1, *[1] * (each.dim() - 2)))


def schedule(name: str, steps: int) -> list[float]:
    """The factor of the learning rate in each of ``steps``, at most 1, by PyTorch's own scheduler."""
    dummy = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    of_torch = torch.optim.lr_scheduler
    scheduler: Any
    if name == "constant":
        return [1.0] * steps
    if name == "step":
        scheduler = of_torch.MultiStepLR(dummy, [steps // 2, steps * 3 // 4], gamma=0.1)
    elif name == "cosine":
        scheduler = of_torch.CosineAnnealingLR(dummy, T_max=steps)
    else:
        scheduler = of_torch.OneCycleLR(dummy, max_lr=1.0, total_steps=steps, cycle_momentum=False)
    factors = []
    for _ in range(steps):
        factors.append(float(dummy.param_groups[0]["lr"]))
        dummy.step()
        if len(factors) < steps:
            scheduler.step()
    return factors


def _setting(values: Sequence[float], like: Sequence[torch.Tensor]) -> torch.Tensor:
    return torch.tensor(values, device=like[0].device)


def _as(setting: torch.Tensor, parameter: torch.Tensor) -> torch.Tensor:
    """A setting [recipes] in the shape of a parameter's dimensions."""
    return setting.view(1, -1, *[1] * (parameter.dim() - 2))
