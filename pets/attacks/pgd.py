"""Projected gradient descent within an L-infinity or L2 ball around the original.

Madry et al.: Towards deep learning models resistant to adversarial attacks, ICLR 2018. A single step as
long as the ball's radius is FGSM (Goodfellow, Shlens, Szegedy: Explaining and harnessing adversarial
examples, ICLR 2015); with an infinite radius it is plain gradient descent with normalized steps.
"""

from typing import Literal

import torch

from pets.attacks.objective import Objective
from pets.attacks.search import SearchResult, evaluate, l2_norms

Norm = Literal["linf", "l2"]


def pgd(
    objective: Objective,
    originals: torch.Tensor,
    *,
    norm: Norm,
    epsilon: float,
    step: float,
    steps: int,
    confidence: float = 0.0,
) -> SearchResult:
    """The image with the lowest margin among all steps, for each original [n, 3, height, width] in [0, 1].

    ``epsilon`` and ``step`` are in units of the pixels' range. An image is done, and not computed any
    further, once its margin is below minus ``confidence`` nats; with infinite ``confidence`` every image
    takes all steps.
    """
    found = SearchResult.initial(originals)
    images = originals.clone()
    rows = torch.arange(len(originals), device=originals.device)
    for number in range(steps + 1):
        last = number == steps
        if last:  # needs no gradient
            with torch.no_grad():
                margin = objective(images, rows).exact_margin
            finite = margin.isfinite()
        else:
            (_, _, margin), gradient, finite = evaluate(objective, images, rows)
        better = finite & (margin < found.margin[rows])
        found.update(rows[better], images[better], margin[better], number)
        found.non_finite[rows[~finite]] = True
        going = finite & (margin > -confidence)
        if last or not going.any():
            break
        rows, gradient = rows[going], gradient[going]
        direction = gradient.sign() if norm == "linf" else gradient / l2_norms(gradient)
        images = project(images[going] - step * direction, originals[rows], norm, epsilon)
    return found


def step_within(epsilon: float) -> float:
    """A quarter of epsilon, rounded to whole 8-bit levels where epsilon is at least one level.

    With both in whole levels, every L-infinity step ends on a level, and saving changes nothing.
    """
    return max(round(255 * epsilon / 4), 1) / 255 if epsilon >= 1 / 255 else epsilon / 4


def project(images: torch.Tensor, originals: torch.Tensor, norm: Norm, epsilon: float) -> torch.Tensor:
    """Project onto the ball of radius ``epsilon`` around the originals, and clamp to [0, 1]."""
    change = images - originals
    if norm == "linf":
        change = change.clamp(-epsilon, epsilon)
    else:
        change = change * (epsilon / l2_norms(change)).clamp(max=1)
    return (originals + change).clamp(0, 1)
