"""The smallest change, in L2, that fools the classifier; and the smallest that is left after 8 bits.

DeepFool (Moosavi-Dezfooli, Fawzi, Frossard, CVPR 2016) steps to where a linear classifier would turn, and
stops as soon as the real one has. FMN (Pintor et al.: Fast minimum-norm adversarial attacks through adaptive
norm constraints, NeurIPS 2021) walks along the boundary, in a ball that shrinks while the image fools and
grows while it does not.
"""

import math

import torch

from stages.attacks.found import Found, look, norms
from stages.attacks.objective import Judged, Objective

OVERSHOOT = 0.02  # of DeepFool: how much longer than to the linear boundary
BEYOND = 0.05  # of FMN, until it has crossed the boundary once
GROWTH = 1.25  # from one try to the next to survive 8 bits
TRIES = 16


def deepfool(objective: Objective, originals: torch.Tensor, steps: int, sure: float = 0.0) -> Found:
    """DeepFool towards the margin's own rival: the target, or else the likeliest other class.

    An image is done once its margin is under minus ``sure`` nats.
    """
    objective = _stricter(objective, sure)
    found = Found.start(originals)
    images = originals.clone()
    change = torch.zeros_like(originals)
    rows = torch.arange(len(originals), device=originals.device)
    for number in range(steps + 1):
        judged, gradient, finite = look(objective, images[rows], rows, "margin")
        better = finite & (judged.verdict < found.margin[rows])
        found.keep(rows[better], images[rows[better]], judged.verdict[better], number)
        found.given_up[rows[~finite]] = True
        going = finite & (judged.verdict >= 0)
        rows, gradient = rows[going], gradient[going]
        # Where a stand-in has turned and the head has not, on beyond its boundary.
        margin = judged.margin[going].abs()
        if not len(rows):
            break
        length = (margin + 1e-4).view(-1, 1, 1, 1) / norms(gradient)  # a little, to leave the boundary itself
        change[rows] -= length * gradient / norms(gradient)
        images[rows] = (originals[rows] + (1 + OVERSHOOT) * change[rows]).clamp(0, 1)
    return found


def smallest(objective: Objective, originals: torch.Tensor, steps: int, sure: float = 0.0) -> Found:
    """FMN in L2: for each original the nearest image found whose margin is under minus ``sure`` nats.

    Steps are relative to the ball, so there is no length to choose. ``margin`` is that of the nearest fooling
    image, or the lowest where none was found.
    """
    objective = _stricter(objective, sure)
    found = Found.start(originals)
    nearest = torch.full_like(found.margin, torch.inf)
    radius = torch.full_like(found.margin, torch.inf)
    images = originals.clone()
    rows = torch.arange(len(originals), device=originals.device)
    for number in range(steps + 1):
        cosine = (1 + math.cos(math.pi * number / steps)) / 2
        judged, gradient, finite = look(objective, images[rows], rows, "margin")
        found.given_up[rows[~finite]] = True
        rows, gradient = rows[finite], gradient[finite]
        margin, verdict = judged.margin[finite], judged.verdict[finite]
        if not len(rows):
            break
        distance = (images[rows] - originals[rows]).flatten(1).norm(dim=1)
        ever, fooled = nearest[rows] < torch.inf, verdict < 0
        better = torch.where(ever | fooled, fooled & (distance < nearest[rows]), verdict < found.margin[rows])
        found.keep(rows[better], images[rows[better]], verdict[better], number)
        nearest[rows] = torch.where(fooled, torch.minimum(nearest[rows], distance), nearest[rows])
        if number == steps:
            break
        shift = 0.001 + 0.099 * cosine
        # To the linear boundary and a little beyond: a curved one would only be approached.
        linear = (1 + BEYOND) * (distance + margin.abs() / norms(gradient).flatten())
        radius[rows] = torch.where(
            fooled,
            torch.minimum(radius[rows] * (1 - shift), nearest[rows]),
            torch.where(ever, radius[rows] * (1 + shift), linear),
        )
        stride = (radius[rows] * (0.01 + 0.99 * cosine)).view(-1, 1, 1, 1)
        moved = images[rows] - stride * gradient / norms(gradient)
        ball = radius[rows].view(-1, 1, 1, 1)
        change = moved - originals[rows]
        images[rows] = (originals[rows] + change * (ball / norms(change)).clamp(max=1)).clamp(0, 1)
    return found


def _stricter(objective: Objective, sure: float) -> Objective:
    """The objective with its boundary moved by ``sure`` nats, and the margin told from there."""

    def judge(images: torch.Tensor, rows: torch.Tensor) -> Judged:
        loss, margin, verdict = objective(images, rows)
        return Judged(loss, margin + sure, verdict + sure)

    return judge


def in_eight_bits(images: torch.Tensor, originals: torch.Tensor, epsilon: float = 1.0) -> torch.Tensor:
    """The images on a saved picture's 256 levels, no pixel further than ``epsilon`` from its original.

    Originals lie on the levels; with an epsilon below one level nothing can change.
    """
    most = math.floor(255 * epsilon + 1e-6)
    was = (255 * originals).round()
    return (255 * images).round().clamp(was - most, was + most).clamp(0, 255) / 255


def in_eight_bits_l2(images: torch.Tensor, originals: torch.Tensor, epsilon: float) -> torch.Tensor:
    """The images, which lie in the L2 ball of radius ``epsilon`` around their originals, on 256 levels in it.

    Where rounding made a change longer than the ball's radius, the values that it moved away from the
    original go one level back, those that it moved furthest first.
    """
    was = (255 * originals).round()
    exact = (255 * images - was).flatten(1)
    change = exact.round()
    excess, order = (change.abs() - exact.abs()).sort(dim=1, descending=True)
    shorter = 2 * change.abs().gather(1, order).double() - 1  # by so much, squared, one level back each
    too_long = change.double().square().sum(1, keepdim=True) - (255 * epsilon) ** 2
    back = (excess > 0) & (shorter.cumsum(1) - shorter < too_long)
    change -= change.sign() * torch.zeros_like(change).scatter(1, order, back.to(change.dtype))
    return (was + change.view_as(was)) / 255


@torch.no_grad()
def surviving(objective: Objective, originals: torch.Tensor, found: Found, sure: float) -> torch.Tensor:
    """For each image, its change made longer until it fools on 8 bits with a margin of ``sure`` nats.

    The smallest changes are a fraction of a level for most pixels, and rounding would take them away. Of a
    longer change the rounding leaves the pixels that matter most. What never fools stays as rounded at last.
    """
    images = in_eight_bits(found.images, originals)
    rows = torch.nonzero(found.fooled).squeeze(1)
    longer = 1.0
    for _ in range(TRIES):
        if not len(rows):
            break
        images[rows] = in_eight_bits(
            (originals[rows] + longer * (found.images[rows] - originals[rows])).clamp(0, 1), originals[rows]
        )
        rows = rows[objective(images[rows], rows).verdict > -sure]
        longer *= GROWTH
    return images
