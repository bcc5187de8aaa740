"""FMN: along the decision boundary, in a ball that shrinks while the image fools and grows while it does not.

Pintor, Roli, Brendel, Biggio: Fast minimum-norm adversarial attacks through adaptive norm constraints,
NeurIPS 2021.
"""

import math

import torch

from pets.attacks.objective import Objective, with_confidence
from pets.attacks.search import SearchResult, evaluate, l2_norms

BEYOND = 0.05  # how much further than to the linear boundary, until the boundary was crossed once


def fmn(objective: Objective, originals: torch.Tensor, steps: int, confidence: float = 0.0) -> SearchResult:
    """FMN in L2: for each original the nearest image found whose margin is below minus ``confidence`` nats.

    Steps are relative to the ball, so there is no step size to choose. ``margin`` is that of the nearest
    fooling image, or the lowest where none was found.
    """
    objective = with_confidence(objective, confidence)
    found = SearchResult.initial(originals)
    nearest = torch.full_like(found.margin, torch.inf)
    radius = torch.full_like(found.margin, torch.inf)
    images = originals.clone()
    rows = torch.arange(len(originals), device=originals.device)
    for number in range(steps + 1):
        cosine = (1 + math.cos(math.pi * number / steps)) / 2
        values, gradient, finite = evaluate(objective, images[rows], rows, "margin")
        found.non_finite[rows[~finite]] = True
        rows, gradient = rows[finite], gradient[finite]
        margin, exact_margin = values.margin[finite], values.exact_margin[finite]
        if not len(rows):
            break
        distance = (images[rows] - originals[rows]).flatten(1).norm(dim=1)
        ever, fooled = nearest[rows] < torch.inf, exact_margin < 0
        better = torch.where(
            ever | fooled, fooled & (distance < nearest[rows]), exact_margin < found.margin[rows]
        )
        found.update(rows[better], images[rows[better]], exact_margin[better], number)
        nearest[rows] = torch.where(fooled, torch.minimum(nearest[rows], distance), nearest[rows])
        if number == steps:
            break
        shift = 0.001 + 0.099 * cosine
        # To the linear boundary and a little beyond: a curved one would only be approached.
        linear = (1 + BEYOND) * (distance + margin.abs() / l2_norms(gradient).flatten())
        radius[rows] = torch.where(
            fooled,
            torch.minimum(radius[rows] * (1 - shift), nearest[rows]),
            torch.where(ever, radius[rows] * (1 + shift), linear),
        )
        stride = (radius[rows] * (0.01 + 0.99 * cosine)).view(-1, 1, 1, 1)
        moved = images[rows] - stride * gradient / l2_norms(gradient)
        ball = radius[rows].view(-1, 1, 1, 1)
        change = moved - originals[rows]
        images[rows] = (originals[rows] + change * (ball / l2_norms(change)).clamp(max=1)).clamp(0, 1)
    return found
