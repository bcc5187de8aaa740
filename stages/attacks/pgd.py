"""Projected gradient descent within an L-infinity or L2 ball around the original.

Madry et al.: Towards deep learning models resistant to adversarial attacks, ICLR 2018. One step as long as
the ball's radius is FGSM (Goodfellow, Shlens, Szegedy: Explaining and harnessing adversarial examples, ICLR
2015); an infinite ball leaves plain gradient descent with steps of one length.
"""

from typing import Literal

import torch

from stages.attacks.found import Found, look, norms
from stages.attacks.objective import Objective

Norm = Literal["linf", "l2"]


def pgd(
    objective: Objective,
    originals: torch.Tensor,
    *,
    norm: Norm,
    epsilon: float,
    step: float,
    steps: int,
    sure: float = 0.0,
    start: torch.Tensor | None = None,
) -> Found:
    """The image with the lowest margin on the way, for each original [n, 3, height, width] in [0, 1].

    ``epsilon`` and ``step`` are in units of the pixels' range. An image is done, and costs nothing more, once
    its margin is under minus ``sure`` nats; with an infinite ``sure`` every image makes all steps.
    """
    found = Found.start(originals)
    images = (originals if start is None else start).clone()
    rows = torch.arange(len(originals), device=originals.device)
    for number in range(steps + 1):
        last = number == steps
        if last:  # needs no gradient any more
            with torch.no_grad():
                judged = objective(images, rows)
            finite = judged.verdict.isfinite()
        else:
            judged, gradient, finite = look(objective, images, rows)
        better = finite & (judged.verdict < found.margin[rows])
        found.keep(rows[better], images[better], judged.verdict[better], number)
        found.given_up[rows[~finite]] = True
        going = finite & (judged.verdict > -sure)
        if last or not going.any():
            break
        rows = rows[going]
        images = project(move(images[going], gradient[going], norm, step), originals[rows], norm, epsilon)
    return found


def step_within(epsilon: float) -> float:
    """A quarter of the ball, in whole levels of 8 bits where the ball is as large as one.

    With both in whole levels, no L-infinity step leaves the levels, and saving changes nothing.
    """
    return max(round(255 * epsilon / 4), 1) / 255 if epsilon >= 1 / 255 else epsilon / 4


def move(images: torch.Tensor, gradient: torch.Tensor, norm: Norm, step: float) -> torch.Tensor:
    """One step of length ``step``, in that norm, down the gradient."""
    direction = gradient.sign() if norm == "linf" else gradient / norms(gradient)
    return images - step * direction


def project(images: torch.Tensor, originals: torch.Tensor, norm: Norm, epsilon: float) -> torch.Tensor:
    """Into the ball of radius ``epsilon`` around the originals, and into [0, 1]."""
    change = images - originals
    if norm == "linf":
        change = change.clamp(-epsilon, epsilon)
    else:
        change = change * (epsilon / norms(change)).clamp(max=1)
    return (originals + change).clamp(0, 1)
