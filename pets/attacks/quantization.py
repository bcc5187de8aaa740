"""From a search's floats to the 256 levels of a saved picture, within the attack's bound or until it still
fools."""

import math

import torch

from pets.attacks.objective import Objective
from pets.attacks.search import SearchResult

GROWTH = 1.25  # of a change, from one try to the next
TRIES = 16


def quantize(images: torch.Tensor, originals: torch.Tensor, epsilon: float = 1.0) -> torch.Tensor:
    """The images on the 256 levels, no pixel further than ``epsilon`` from its original.

    Originals lie on the levels; with an epsilon below one level nothing can change.
    """
    most = math.floor(255 * epsilon + 1e-6)
    before = (255 * originals).round()
    return (255 * images).round().clamp(before - most, before + most).clamp(0, 255) / 255


def quantize_l2(images: torch.Tensor, originals: torch.Tensor, epsilon: float) -> torch.Tensor:
    """The images on the 256 levels, within the L2 ball of radius ``epsilon`` in which they lie.

    Where rounding made a change longer than the radius, values that it moved away from the original go one
    level back, starting with those that it moved furthest.
    """
    before = (255 * originals).round()
    exact = (255 * images - before).flatten(1)
    change = exact.round()
    excess, order = (change.abs() - exact.abs()).sort(dim=1, descending=True)
    # What one level back takes from the squared length.
    shorter = 2 * change.abs().gather(1, order).double() - 1
    too_long = change.double().square().sum(1, keepdim=True) - (255 * epsilon) ** 2
    back = (excess > 0) & (shorter.cumsum(1) - shorter < too_long)
    change -= change.sign() * torch.zeros_like(change).scatter(1, order, back.to(change.dtype))
    return (before + change.view_as(before)) / 255


@torch.no_grad()
def lengthen_and_quantize(
    objective: Objective, originals: torch.Tensor, found: SearchResult, confidence: float
) -> torch.Tensor:
    """Each image with its change lengthened until it fools on the 256 levels, with ``confidence`` nats.

    A minimum-norm change is a fraction of a level for most pixels, and rounding would remove it. Of a
    longer change, rounding keeps the pixels that matter most. An image that never fools is returned as
    rounded last.
    """
    images = quantize(found.images, originals)
    rows = torch.nonzero(found.fooled).squeeze(1)
    longer = 1.0
    for _ in range(TRIES):
        if not len(rows):
            break
        images[rows] = quantize(
            (originals[rows] + longer * (found.images[rows] - originals[rows])).clamp(0, 1), originals[rows]
        )
        rows = rows[objective(images[rows], rows).exact_margin > -confidence]
        longer *= GROWTH
    return images
