"""Activation maximization: gradient ascent from noise to a picture that a network assigns to a class.

Simonyan, Vedaldi, Zisserman: Deep inside convolutional networks, 2014, with their decay; total variation
after Mahendran, Vedaldi: Understanding deep image representations by inverting them, CVPR 2015;
transformation robustness, by random shifts, rotations and scales, after Olah, Mordvintsev, Schubert: Feature
visualization, Distill 2017. Coarse to fine: most steps are taken at half size, where whole shapes form and a
step costs a quarter.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch.nn import functional

from pets.core.params import Section
from pets.images.preprocessing import Preprocessing
from pets.visualization.parametrization import Parametrization

BATCH = 8  # pictures optimized at once
MAX_ROTATION = 10.0  # degrees, to either side
MAX_ZOOM = 0.15  # the largest change of scale, up or down
FINAL_RATE = 0.1  # share of the learning rate that is left at the end of its cosine schedule


class Method(Section):
    """The section ``ideal.method`` of params.yaml; the ablation shows what each part of it adds."""

    coarse_steps: NonNegativeInt
    fine_steps: PositiveInt
    learning_rate: PositiveFloat
    total_variation: NonNegativeFloat
    decay: NonNegativeFloat
    multi_scale: bool
    jitter: bool
    rotate_and_scale: bool
    fourier: bool
    decorrelated_colour: bool

    @property
    def steps(self) -> int:
        """The steps for one picture."""
        return self.coarse_steps + self.fine_steps

    @property
    def description(self) -> str:
        """The method as part of a caption's sentence."""
        half = f", {self.coarse_steps} of them at half size," if self.multi_scale else ""
        parameters = "Fourier coefficients" if self.fourier else "pixels"
        optional = {
            "decorrelated colours": self.decorrelated_colour,
            "random shifts": self.jitter,
            "random rotations and scales": self.rotate_and_scale,
        }
        parts = [part for part, used in optional.items() if used]
        parts += [
            f"decay of weight {self.decay:g}",
            f"and total variation of weight {self.total_variation:g}",
        ]
        return f"{self.steps} steps of gradient ascent{half} on {parameters}, with {', '.join(parts)}"

    def ablation(self) -> list[tuple[str, "Method"]]:
        """From gradient ascent alone to this method, one part more each time, with that part's name."""
        parts: dict[str, dict[str, bool | float]] = {
            "coarse first": {"multi_scale": self.multi_scale},
            "decay to grey": {"decay": self.decay},
            "total variation": {"total_variation": self.total_variation},
            "random shifts": {"jitter": self.jitter},
            "rotations and scales": {"rotate_and_scale": self.rotate_and_scale},
            "Fourier basis": {"fourier": self.fourier},
            "decorrelated colours": {"decorrelated_colour": self.decorrelated_colour},
        }
        off = {key: type(value)(0) for part in parts.values() for key, value in part.items()}
        methods = [("gradient ascent alone", self.model_copy(update=off))]
        for name, part in parts.items():
            if any(part.values()):
                methods.append((f"+ {name}", methods[-1][1].model_copy(update=part)))
        return methods


@dataclass(frozen=True)
class Ideal:
    """The result of activation maximization.

    ``picture`` [3, side, side] in [0, 1]; ``non_finite``: the loss or its gradient was not finite at some
    step, and the picture was left as it was then; ``frames`` uint8 [frames, 3, side, side], from the noise to
    the picture.
    """

    picture: torch.Tensor
    non_finite: bool
    frames: torch.Tensor


def maximize(
    logits: Callable[[torch.Tensor], torch.Tensor],
    targets: Sequence[Sequence[int]],
    preprocessing: Preprocessing,
    method: Method,
    *,
    seed: int,
    device: str,
    frames: int = 0,
    on_step: Callable[[int], object] = lambda pictures: None,
) -> list[Ideal]:
    """One picture for each of ``targets``; all start from the same noise and undergo the same transforms.

    ``logits``: normalized images [n, 3, height, width] to [n, classes]. A target is the indices of one class,
    or of several that count as one, as the breeds of a species do. See `objective` for what is maximized.
    ``frames``: how many intermediate pictures are kept. ``on_step`` is called after each step with the number
    of pictures in it.
    """
    if len(targets) > BATCH:
        options: Any = {"seed": seed, "device": device, "frames": frames, "on_step": on_step}
        parts = (targets[:BATCH], targets[BATCH:])
        return [each for part in parts for each in maximize(logits, part, preprocessing, method, **options)]
    if not targets:
        return []
    full = preprocessing.resize
    coarse = full // 4 * 2 if method.multi_scale else full
    sides = [coarse] * method.coarse_steps + [full] * method.fine_steps  # of the picture at each step
    parametrization = Parametrization(
        len(targets),
        full,
        fourier=method.fourier,
        decorrelated=method.decorrelated_colour,
        seed=seed,
        device=device,
    )
    parameters = parametrization.parameters
    optimizer = torch.optim.Adam([parameters], lr=method.learning_rate)
    generator = torch.Generator().manual_seed(seed)
    non_finite = torch.zeros(len(targets), dtype=torch.bool, device=device)
    # A frame is kept of the noise and after these steps, closer at the start, where more changes.
    last = frames - 1
    frame_steps = {max(each, round(len(sides) * (each / last) ** 2)) for each in range(1, frames)}
    kept = [_in_eight_bits(parametrization)] if frame_steps else []
    for step, side in enumerate(sides):
        share = (1 + math.cos(math.pi * step / len(sides))) / 2
        optimizer.param_groups[0]["lr"] = method.learning_rate * (FINAL_RATE + (1 - FINAL_RATE) * share)
        values = parametrization.values(side)
        inputs = random_transform(values.sigmoid(), preprocessing, method, generator)
        scores = logits(preprocessing.normalize(inputs)).to(device)
        roughness = method.total_variation * side * total_variation(values)
        loss = roughness + method.decay * values.square().mean((1, 2, 3)) - objective(scores, targets)
        (parameters.grad,) = torch.autograd.grad(loss.sum(), parameters)
        non_finite |= ~(loss.isfinite() & parameters.grad.flatten(1).isfinite().all(1))
        fixed = non_finite.view(-1, *[1] * (parameters.dim() - 1))
        before = parameters.detach().clone()
        parameters.grad.masked_fill_(fixed, 0)
        optimizer.step()
        with torch.no_grad():
            parameters.copy_(torch.where(fixed, before, parameters))
        if step + 1 in frame_steps:
            kept.append(_in_eight_bits(parametrization))
        on_step(len(targets))
    pictures = parametrization.pictures()
    animations = torch.stack(kept, dim=1) if kept else torch.zeros(len(targets), 0, *pictures.shape[1:])
    return [Ideal(*each) for each in zip(pictures, non_finite.tolist(), animations, strict=True)]


def objective(scores: torch.Tensor, targets: Sequence[Sequence[int]]) -> torch.Tensor:
    """Logit plus log-probability [n] of each target, for logits [n, classes].

    Several classes count as one by their log-sum-exp. The logit keeps growing where the
    probability is already 1; the probability keeps similar classes down.
    """
    target = torch.stack(
        [row[list(places)].logsumexp(0) for row, places in zip(scores, targets, strict=True)]
    )
    return target + target - scores.logsumexp(1)


def total_variation(pictures: torch.Tensor) -> torch.Tensor:
    """Total variation [n] of pictures [n, 3, height, width]: the mean length of the gradient between pixels.

    Rudin, Osher, Fatemi: Nonlinear total variation based noise removal algorithms, 1992. Multiplied by the
    side it is the gradient per picture width, so that a weight means the same at every size.
    """
    down = pictures[..., 1:, :-1] - pictures[..., :-1, :-1]
    right = pictures[..., :-1, 1:] - pictures[..., :-1, :-1]
    return (down.square() + right.square() + 1e-8).sqrt().mean((1, 2, 3))


def _in_eight_bits(parametrization: Parametrization) -> torch.Tensor:
    return (255 * parametrization.pictures()).round().to(torch.uint8)


def random_transform(
    pictures: torch.Tensor, preprocessing: Preprocessing, method: Method, generator: torch.Generator
) -> torch.Tensor:
    """The network's input for pictures [n, 3, side, side] in one step: all by the same random transform.

    It is the centre crop, in proportion to the side; if the method says so, shifted within the picture's
    margin, rotated and scaled. A network with a fixed input size (see `Preprocessing.views`) gets that size.
    """
    side = pictures.shape[-1]
    share = preprocessing.crop / preprocessing.resize
    fixed_size = preprocessing.whole == preprocessing.crop
    out = preprocessing.crop if fixed_size else round(share * side)
    rotation, zoom, right, down = (2 * torch.rand(4, generator=generator) - 1).tolist()
    angle = math.radians(MAX_ROTATION * rotation) if method.rotate_and_scale else 0.0
    scale = share * (1 + MAX_ZOOM * zoom) if method.rotate_and_scale else share
    margin = 1 - share if method.jitter else 0.0
    cosine, sine = scale * math.cos(angle), scale * math.sin(angle)
    affine = pictures.new_tensor([[cosine, -sine, margin * right], [sine, cosine, margin * down]])
    grid = functional.affine_grid(affine[None], [1, 3, out, out], align_corners=False)
    grid = grid.expand(len(pictures), -1, -1, -1)
    return functional.grid_sample(pictures, grid, padding_mode="reflection", align_corners=False)
