"""DeepFool: to the decision boundary of the linearized classifier, repeated until the real one is fooled.

Moosavi-Dezfooli, Fawzi, Frossard: DeepFool: a simple and accurate method to fool deep neural networks,
CVPR 2016.
"""

import torch

from pets.attacks.objective import Objective, with_confidence
from pets.attacks.search import SearchResult, evaluate, l2_norms

OVERSHOOT = 0.02  # how much further than to the linear boundary


def deepfool(
    objective: Objective, originals: torch.Tensor, steps: int, confidence: float = 0.0
) -> SearchResult:
    """DeepFool towards the class that the margin names: the target, or else the most probable other class.

    An image is done once its margin is below minus ``confidence`` nats.
    """
    objective = with_confidence(objective, confidence)
    found = SearchResult.initial(originals)
    images = originals.clone()
    change = torch.zeros_like(originals)
    rows = torch.arange(len(originals), device=originals.device)
    for number in range(steps + 1):
        (_, margin, exact_margin), gradient, finite = evaluate(objective, images[rows], rows, "margin")
        better = finite & (exact_margin < found.margin[rows])
        found.update(rows[better], images[rows[better]], exact_margin[better], number)
        found.non_finite[rows[~finite]] = True
        going = finite & (exact_margin >= 0)
        rows, gradient = rows[going], gradient[going]
        # Where a surrogate is fooled and the head is not, on beyond the surrogate's boundary.
        distance = margin[going].abs()
        if not len(rows):
            break
        length = (distance + 1e-4).view(-1, 1, 1, 1) / l2_norms(gradient)  # a little, to cross the boundary
        change[rows] -= length * gradient / l2_norms(gradient)
        images[rows] = (originals[rows] + (1 + OVERSHOOT) * change[rows]).clamp(0, 1)
    return found
