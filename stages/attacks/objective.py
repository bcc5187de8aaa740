"""What an attack wants: a loss to lower, and a margin that says whether it is there yet."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

# Nats: how far over the boundary an image is pushed, so that saving seldom brings it back; and how far where
# it is not saved, or not yet, since bfloat16 moves a margin by as much.
SAFE, HAIR = 1.0, 0.3


class Judged(NamedTuple):
    """``loss`` [m] is what to lower; ``margin`` [m], in nats, is below zero where it is fooled.

    ``verdict`` [m] is the margin of the head itself, without a slope. It is what counts; where a stand-in
    gives the slopes, ``loss`` and ``margin`` are the stand-in's.
    """

    loss: torch.Tensor
    margin: torch.Tensor
    verdict: torch.Tensor


# Of images [m, 3, height, width] and their rows [m] among all that are attacked: some are done before others.
Objective = Callable[[torch.Tensor, torch.Tensor], Judged]


@dataclass(frozen=True)
class Misread:
    """To be read as ``classes`` [n] (targeted), or as anything else (untargeted).

    The loss is the cross-entropy, its sign such that lower is better for the attacker. The margin is the
    difference of log-probabilities between the wrong side and the right one (Carlini, Wagner: Towards
    evaluating the robustness of neural networks, S&P 2017).

    ``outputs`` are log-probabilities [m, classes] of images and rows; or, with ``head``, features, of which
    it gives log-probabilities with a slope, and ``exact``, where that is a stand-in, the head's own.
    """

    outputs: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    classes: torch.Tensor
    targeted: bool
    head: Callable[[torch.Tensor], torch.Tensor] | None = None
    exact: Callable[[torch.Tensor], torch.Tensor] | None = None

    def __call__(self, images: torch.Tensor, rows: torch.Tensor) -> Judged:
        """See `Objective`."""
        outputs = self.outputs(images, rows)
        own, rival = self._sides(outputs if self.head is None else self.head(outputs), rows)
        sign = -1 if self.targeted else 1
        margin = verdict = sign * (own - rival)
        if self.exact is not None:
            exact, exact_rival = self._sides(self.exact(outputs.detach()), rows)
            verdict = sign * (exact - exact_rival)
        return Judged(sign * own, margin, verdict.detach())

    def _sides(
        self, log_probabilities: torch.Tensor, rows: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Log-probabilities [m] of the class, and of its likeliest rival."""
        column = self.classes[rows].unsqueeze(1)
        own = log_probabilities.gather(1, column).squeeze(1)
        return own, log_probabilities.scatter(1, column, -torch.inf).amax(1)


@dataclass(frozen=True)
class Smoothed:
    """An objective plus ``weight`` times the picture's total variation.

    Mean absolute difference of neighbours, after Rudin, Osher, Fatemi: Nonlinear total variation based noise
    removal algorithms, 1992. ``sizes`` [n]: each picture's (height, width) on the canvas.
    """

    objective: Objective
    sizes: Sequence[tuple[int, int]]
    weight: float

    def __call__(self, images: torch.Tensor, rows: torch.Tensor) -> Judged:
        """See `Objective`."""
        judged = self.objective(images, rows)
        variation = torch.stack([total_variation(each) for each in cut(images, self.sizes, rows)])
        return judged._replace(loss=judged.loss + self.weight * variation)


def total_variation(picture: torch.Tensor) -> torch.Tensor:
    """Mean absolute difference of horizontal and of vertical neighbours of [3, height, width], summed."""
    return picture.diff(dim=-1).abs().mean() + picture.diff(dim=-2).abs().mean()


def canvas(pictures: Sequence[torch.Tensor]) -> tuple[torch.Tensor, list[tuple[int, int]]]:
    """Pictures [3, height, width] of any sizes on one tensor [n, 3, tallest, widest], and their sizes.

    Bytes become floats in [0, 1]. What lies around a picture is zero and has no gradient, so no attack
    changes it.
    """
    sizes = [(picture.shape[1], picture.shape[2]) for picture in pictures]
    tallest, widest = (max(each) for each in zip(*sizes, strict=True))
    floats = [picture if picture.is_floating_point() else picture / 255 for picture in pictures]
    images = floats[0].new_zeros(len(pictures), 3, tallest, widest)
    for image, picture, (height, width) in zip(images, floats, sizes, strict=True):
        image[:, :height, :width] = picture
    return images, sizes


def cut(
    images: torch.Tensor, sizes: Sequence[tuple[int, int]], rows: torch.Tensor | None = None
) -> list[torch.Tensor]:
    """The pictures of a `canvas` again; ``rows`` says which of the ``sizes`` they have."""
    chosen = sizes if rows is None else [sizes[row] for row in rows.tolist()]
    return [image[:, :height, :width] for image, (height, width) in zip(images.unbind(), chosen, strict=True)]
