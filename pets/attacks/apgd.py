"""Auto-PGD (APGD): the strong reference attack, which halves its step size where progress stalls.

Croce, Hein: Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free
attacks, ICML 2020: the part of AutoAttack that needs no choice of step size. Here on the cross-entropy and
on the margin, from the original and from random starts.
"""

import math

import torch

from pets.attacks.objective import Objective
from pets.attacks.pgd import project
from pets.attacks.search import SearchResult, evaluate

MOMENTUM = 0.75
PROGRESS = 0.75  # the share of steps between two checkpoints that must lower the loss (the paper's rho)


def reference(
    objective: Objective,
    originals: torch.Tensor,
    *,
    epsilon: float,
    steps: int,
    restarts: int,
    seed: int,
    confidence: float = 0.0,
) -> SearchResult:
    """APGD in the L-infinity ball on both losses, from the original and ``restarts`` random starts: the best.

    An image is done once its margin is below minus ``confidence`` nats.
    """
    generator = torch.Generator(originals.device).manual_seed(seed)
    found = SearchResult.initial(originals)
    for number in range(1 + restarts):
        for by in ("margin", "loss"):
            rows = torch.nonzero((found.margin > -confidence) & ~found.non_finite).squeeze(1)
            if not len(rows):
                return found
            start = originals[rows]
            if number:
                noise = torch.rand(start.shape, generator=generator, dtype=start.dtype, device=start.device)
                start = project(start + epsilon * (2 * noise - 1), start, "linf", epsilon)
            each = apgd(_among(objective, rows), originals[rows], start, epsilon, steps, by, confidence)
            better = each.margin < found.margin[rows]
            found.non_finite[rows] |= each.non_finite
            found.update(rows[better], each.images[better], each.margin[better], each.steps[better])
    return found


def _among(objective: Objective, rows: torch.Tensor) -> Objective:
    """The objective for some of its images, ``rows``, numbered from zero."""
    return lambda images, chosen: objective(images, rows[chosen])


def apgd(
    objective: Objective,
    originals: torch.Tensor,
    start: torch.Tensor,
    epsilon: float,
    steps: int,
    by: str,
    confidence: float = 0.0,
) -> SearchResult:
    """APGD in the L-infinity ball, minimizing ``by`` (loss or margin)."""
    found = SearchResult.initial(originals)
    rows = torch.arange(len(originals), device=originals.device)
    now, before = start.clone(), start.clone()
    best, best_loss = start.clone(), torch.full_like(found.margin, torch.inf)
    best_gradient = torch.zeros_like(start)
    step = torch.full_like(found.margin, 2 * epsilon)
    halved = torch.ones_like(found.non_finite)  # the step, at the last checkpoint; true before the first
    checkpoint_loss = torch.full_like(found.margin, torch.inf)  # the best loss at the last checkpoint
    last_loss = torch.full_like(found.margin, -torch.inf)  # so that the original does not count as progress
    progressed = torch.zeros_like(found.steps)  # steps since the last checkpoint that lowered the loss
    marks = checkpoints(steps)
    since = -1
    for number in range(steps + 1):
        values, gradient, finite = evaluate(objective, now[rows], rows, by)
        loss = getattr(values, by)
        better = finite & (values.exact_margin < found.margin[rows])
        found.update(rows[better], now[rows[better]], values.exact_margin[better], number)
        found.non_finite[rows[~finite]] = True
        progressed[rows] += loss < last_loss[rows]
        last_loss[rows] = loss
        lower = finite & (loss < best_loss[rows])
        lowered = rows[lower]
        best[lowered], best_loss[lowered], best_gradient[lowered] = now[lowered], loss[lower], gradient[lower]
        going = finite & (values.exact_margin > -confidence)
        if number == steps or not going.any():
            break
        since += 1
        rows, gradient = rows[going], gradient[going]
        if number in marks:
            stuck = progressed[rows] < PROGRESS * since
            stuck |= ~halved[rows] & (best_loss[rows] >= checkpoint_loss[rows])
            halve = rows[stuck]
            step[halve] /= 2
            halved[rows] = stuck
            checkpoint_loss[rows] = best_loss[rows]
            now[halve] = before[halve] = best[halve]
            progressed[rows], since = 0, 0
            gradient[stuck] = best_gradient[halve]
        stride = step[rows].view(-1, 1, 1, 1)
        straight = project(now[rows] - stride * gradient.sign(), originals[rows], "linf", epsilon)
        share = 1.0 if number == 0 else MOMENTUM
        moved = now[rows] + share * (straight - now[rows]) + (1 - share) * (now[rows] - before[rows])
        before[rows] = now[rows]
        now[rows] = project(moved, originals[rows], "linf", epsilon)
    return found


def checkpoints(steps: int) -> set[int]:
    """The steps at which APGD decides whether to halve its step size (the paper's equation 6)."""
    places, gap = [0.0, 0.22], 0.22
    while places[-1] < 1:
        gap = max(gap - 0.03, 0.06)
        places.append(places[-1] + gap)
    return {max(1, math.ceil(place * steps - 1e-9)) for place in places[1:] if place < 1}
