"""Activation maximization: from noise, uphill on a class, to the picture that a network holds for its ideal.

Simonyan, Vedaldi, Zisserman: Deep inside convolutional networks, 2014, with their decay; total variation
after Mahendran, Vedaldi: Understanding deep image representations by inverting them, CVPR 2015; random
shifts, rotations and scales, so that only what survives them counts, after Olah, Mordvintsev, Schubert:
Feature visualization, Distill 2017. Coarse first: most steps are taken at half size, where whole shapes form
and a step costs a quarter.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch.nn import functional

from stages.attacks.parametrization import Parametrization
from stages.images.preprocessing import Preprocessing
from stages.params import Section

TOGETHER = 8  # pictures in one batch
TURN = 10.0  # degrees, at most, to either side
ZOOM = 0.15  # the largest change of scale, up or down
SLOWEST = 0.1  # share of the learning rate left at the end of its cosine


class Method(Section):
    """How the hill is climbed: every switch can be seen at work in the report."""

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
        """Of one picture, in all."""
        return self.coarse_steps + self.fine_steps

    @property
    def words(self) -> str:
        """The method in half a sentence, for captions."""
        return ", ".join(
            [
                f"{self.steps} steps of gradient ascent",
                *([f"{self.coarse_steps} of them at half size"] if self.multi_scale else []),
                "on Fourier coefficients" if self.fourier else "on pixels",
                *(["decorrelated colours"] if self.decorrelated_colour else []),
                *(["random shifts"] if self.jitter else []),
                *(["random rotations and scales"] if self.rotate_and_scale else []),
                f"decay weighted {self.decay:g}",
                f"total variation weighted {self.total_variation:g}",
            ]
        )

    def without_total_variation(self) -> "Method":
        """All else the same."""
        return self.model_copy(update={"total_variation": 0.0})

    def adding_up(self) -> list[tuple[str, "Method"]]:
        """From gradient ascent alone to this method: each with one more of its parts, by that part's name."""
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
    """Where one ascent ended.

    ``picture`` [3, side, side] in [0, 1]; ``given_up``: the loss or its gradient was not a number, and the
    picture is left as it was then; ``frames`` uint8 [frames, 3, side, side], the way from noise to the end.
    """

    picture: torch.Tensor
    given_up: bool
    frames: torch.Tensor


def ascend(
    logits: Callable[[torch.Tensor], torch.Tensor],
    targets: Sequence[Sequence[int]],
    preprocessing: Preprocessing,
    method: Method,
    *,
    seed: int,
    device: str,
    frames: int = 0,
    climbed: Callable[[int], object] = lambda pictures: None,
) -> list[Ideal]:
    """One picture for each of ``targets``; all start from the same noise and see the same transforms.

    ``logits``: normalized images [n, 3, height, width] to [n, classes]. A target is one class or several, any
    of which will do, as a species has many breeds. What is climbed is its logit (of several, log-sum-exp of
    theirs) plus its log-probability: the first goes on where the second is satisfied, the second keeps the
    neighbouring classes down. ``frames`` stages of the way are kept. ``climbed`` is told, after each step,
    how many pictures took it.
    """
    return [
        ideal
        for at in range(0, len(targets), TOGETHER)
        for ideal in _ascend(
            logits, targets[at : at + TOGETHER], preprocessing, method, seed, device, frames, climbed
        )
    ]


def _ascend(
    logits: Callable[[torch.Tensor], torch.Tensor],
    targets: Sequence[Sequence[int]],
    preprocessing: Preprocessing,
    method: Method,
    seed: int,
    device: str,
    frames: int,
    climbed: Callable[[int], object],
) -> list[Ideal]:
    parametrization = Parametrization(
        len(targets),
        preprocessing.resize,
        fourier=method.fourier,
        decorrelated=method.decorrelated_colour,
        seed=seed,
        device=device,
    )
    free = parametrization.free
    optimizer = torch.optim.Adam([free], lr=method.learning_rate)
    generator = torch.Generator().manual_seed(seed)
    given_up = torch.zeros(len(targets), dtype=torch.bool, device=device)
    sides = _sides(preprocessing, method)
    shown = _shown(len(sides), frames)
    kept = [_bytes(parametrization)] if shown else []
    for number, side in enumerate(sides):
        share = (1 + math.cos(math.pi * number / len(sides))) / 2
        optimizer.param_groups[0]["lr"] = method.learning_rate * (SLOWEST + (1 - SLOWEST) * share)
        values = parametrization.values(side)
        seen = glimpse(values.sigmoid(), preprocessing, method, generator)
        scores = logits(preprocessing.normalize(seen)).to(device)
        height = _height(scores, targets)
        roughness = method.total_variation * side * variation(values)
        loss = roughness + method.decay * values.square().mean((1, 2, 3)) - height
        (free.grad,) = torch.autograd.grad(loss.sum(), free)
        given_up |= ~(loss.isfinite() & free.grad.flatten(1).isfinite().all(1))
        stays = given_up.view(-1, *[1] * (free.dim() - 1))
        before = free.detach().clone()
        free.grad.masked_fill_(stays, 0)
        optimizer.step()
        with torch.no_grad():
            free.copy_(torch.where(stays, before, free))
        if number + 1 in shown:
            kept.append(_bytes(parametrization))
        climbed(len(targets))
    pictures = parametrization.pictures()
    ways = torch.stack(kept, dim=1) if kept else torch.zeros(len(targets), 0, *pictures.shape[1:])
    return [Ideal(*each) for each in zip(pictures, given_up.tolist(), ways, strict=True)]


def _height(scores: torch.Tensor, targets: Sequence[Sequence[int]]) -> torch.Tensor:
    """Logit plus log-probability [n] of each target, of logits [n, classes]."""
    wanted = torch.stack(
        [row[list(places)].logsumexp(0) for row, places in zip(scores, targets, strict=True)]
    )
    return wanted + wanted - scores.logsumexp(1)


def variation(pictures: torch.Tensor) -> torch.Tensor:
    """Total variation of each of [n, 3, height, width]: the mean length of the slope from pixel to pixel.

    Rudin, Osher, Fatemi: Nonlinear total variation based noise removal algorithms, 1992. Times the side it is
    the slope per picture width, so that a weight means the same at every size.
    """
    down = pictures[..., 1:, :-1] - pictures[..., :-1, :-1]
    right = pictures[..., :-1, 1:] - pictures[..., :-1, :-1]
    return (down.square() + right.square() + 1e-8).sqrt().mean((1, 2, 3))


def _sides(preprocessing: Preprocessing, method: Method) -> list[int]:
    """The picture's size, in pixels, at each step."""
    coarse = preprocessing.resize // 4 * 2 if method.multi_scale else preprocessing.resize
    return [coarse] * method.coarse_steps + [preprocessing.resize] * method.fine_steps


def _shown(steps: int, frames: int) -> set[int]:
    """After which steps a frame is kept, beside the noise; closer at the start, where more happens."""
    last = frames - 1
    return {max(each, round(steps * (each / last) ** 2)) for each in range(1, frames)}


def _bytes(parametrization: Parametrization) -> torch.Tensor:
    return (255 * parametrization.pictures()).round().to(torch.uint8)


def glimpse(
    pictures: torch.Tensor, preprocessing: Preprocessing, method: Method, generator: torch.Generator
) -> torch.Tensor:
    """What the network sees of pictures [n, 3, side, side] in one step, all through the same transform.

    The centre crop, in proportion; with the switches on, shifted within the picture's margin, turned and
    scaled. A network that takes one size only (see `Preprocessing.views`) is given that size.
    """
    side = pictures.shape[-1]
    share = preprocessing.crop / preprocessing.resize
    one_size = preprocessing.whole == preprocessing.crop
    out = preprocessing.crop if one_size else round(share * side)
    turn, zoom, right, down = (2 * torch.rand(4, generator=generator) - 1).tolist()
    angle = math.radians(TURN * turn) if method.rotate_and_scale else 0.0
    scale = share * (1 + ZOOM * zoom) if method.rotate_and_scale else share
    margin = 1 - share if method.jitter else 0.0
    cosine, sine = scale * math.cos(angle), scale * math.sin(angle)
    affine = pictures.new_tensor([[cosine, -sine, margin * right], [sine, cosine, margin * down]])
    grid = functional.affine_grid(affine[None], [1, 3, out, out], align_corners=False)
    return functional.grid_sample(
        pictures,
        grid.expand(len(pictures), -1, -1, -1),
        padding_mode="reflection",
        align_corners=False,
    )
