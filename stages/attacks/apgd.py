"""Auto-PGD: the strong reference, whose steps shrink by themselves where they stop paying.

Croce, Hein: Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free attacks,
ICML 2020: the part of AutoAttack that needs no choice of step. Here on the cross-entropy and on the margin,
from the original and from random starts.
"""

import math

import torch

from stages.attacks.found import Found, look
from stages.attacks.objective import Objective
from stages.attacks.pgd import project

MOMENTUM = 0.75
PAYS = 0.75  # the share of steps between two checkpoints that must lower the loss


def reference(
    objective: Objective,
    originals: torch.Tensor,
    *,
    epsilon: float,
    steps: int,
    restarts: int,
    seed: int,
    sure: float = 0.0,
) -> Found:
    """The best of APGD on both losses and of ``restarts`` random starts, in the L-infinity ball.

    An image is done once its margin is under minus ``sure`` nats.
    """
    generator = torch.Generator(originals.device).manual_seed(seed)
    found = Found.start(originals)
    for number in range(1 + restarts):
        for by in ("margin", "loss"):
            rows = torch.nonzero((found.margin > -sure) & ~found.given_up).squeeze(1)
            if not len(rows):
                return found
            start = originals[rows]
            if number:
                noise = torch.rand(start.shape, generator=generator, dtype=start.dtype, device=start.device)
                start = project(start + epsilon * (2 * noise - 1), start, "linf", epsilon)
            each = apgd(_among(objective, rows), originals[rows], start, epsilon, steps, by, sure)
            better = each.margin < found.margin[rows]
            found.given_up[rows] |= each.given_up
            chosen = rows[better]
            found.images[chosen] = each.images[better]
            found.margin[chosen] = each.margin[better]
            found.steps[chosen] = each.steps[better]
    return found


def _among(objective: Objective, rows: torch.Tensor) -> Objective:
    """The objective for a part of its images: ``rows`` of them, numbered from zero."""
    return lambda images, chosen: objective(images, rows[chosen])


def apgd(
    objective: Objective,
    originals: torch.Tensor,
    start: torch.Tensor,
    epsilon: float,
    steps: int,
    by: str,
    sure: float = 0.0,
) -> Found:
    """APGD in the L-infinity ball, lowering ``by`` (loss or margin)."""
    found = Found.start(originals)
    rows = torch.arange(len(originals), device=originals.device)
    now, before = start.clone(), start.clone()
    best, best_loss = start.clone(), torch.full_like(found.margin, torch.inf)
    best_gradient = torch.zeros_like(start)
    step = torch.full_like(found.margin, 2 * epsilon)
    halved = torch.ones_like(
        found.given_up
    )  # a step was halved, or nothing tried yet, at the last checkpoint
    loss_then = torch.full_like(found.margin, torch.inf)  # the best loss at the last checkpoint
    last_loss = torch.full_like(found.margin, -torch.inf)  # the first look follows no step, so none that paid
    paid = torch.zeros_like(found.steps)
    marks = checkpoints(steps)
    since = -1
    for number in range(steps + 1):
        judged, gradient, finite = look(objective, now[rows], rows, by)
        loss = getattr(judged, by)
        better = finite & (judged.verdict < found.margin[rows])
        found.keep(rows[better], now[rows[better]], judged.verdict[better], number)
        found.given_up[rows[~finite]] = True
        paid[rows] += loss < last_loss[rows]
        last_loss[rows] = loss
        lower = finite & (loss < best_loss[rows])
        lowered = rows[lower]
        best[lowered], best_loss[lowered], best_gradient[lowered] = now[lowered], loss[lower], gradient[lower]
        going = finite & (judged.verdict > -sure)
        if number == steps or not going.any():
            break
        since += 1
        rows, gradient = rows[going], gradient[going]
        if number in marks:
            stuck = paid[rows] < PAYS * since
            stuck |= ~halved[rows] & (best_loss[rows] >= loss_then[rows])
            halve = rows[stuck]
            step[halve] /= 2
            halved[rows] = stuck
            loss_then[rows] = best_loss[rows]
            now[halve] = before[halve] = best[halve]
            paid[rows], since = 0, 0
            gradient[stuck] = best_gradient[halve]
        stride = step[rows].view(-1, 1, 1, 1)
        straight = project(now[rows] - stride * gradient.sign(), originals[rows], "linf", epsilon)
        share = 1.0 if number == 0 else MOMENTUM
        moved = now[rows] + share * (straight - now[rows]) + (1 - share) * (now[rows] - before[rows])
        before[rows] = now[rows]
        now[rows] = project(moved, originals[rows], "linf", epsilon)
    return found


def checkpoints(steps: int) -> set[int]:
    """The steps at which APGD asks whether its step still pays (its equation 6)."""
    places, gap = [0.0, 0.22], 0.22
    while places[-1] < 1:
        gap = max(gap - 0.03, 0.06)
        places.append(places[-1] + gap)
    return {max(1, math.ceil(place * steps - 1e-9)) for place in places[1:] if place < 1}
