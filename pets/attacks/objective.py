"""What an attack minimizes: a loss, and a margin that is negative once the attack has succeeded."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

from pets.classifier.classifier import Classifier
from pets.classifier.fitted_head import FittedHead

# Nats past the decision boundary: for an image to be saved, so that saving seldom undoes the attack; and for
# one that is not saved, or not yet, since bfloat16 changes a margin by about as much.
CONFIDENCE_SAVED, CONFIDENCE_UNSAVED = 1.0, 0.3


class Values(NamedTuple):
    """``loss`` [m] is to be minimized; ``margin`` [m], in nats, is negative where the attack succeeds.

    ``exact_margin`` [m] is the margin by the head itself, without a gradient, and decides whether an attack
    succeeds. Where a surrogate gives the gradients, ``loss`` and ``margin`` are the surrogate's.
    """

    loss: torch.Tensor
    margin: torch.Tensor
    exact_margin: torch.Tensor


# Of images [m, 3, height, width] and their rows [m] among all that are attacked: some are done before others.
Objective = Callable[[torch.Tensor, torch.Tensor], Values]


@dataclass(frozen=True)
class Misclassify:
    """To be classified as ``classes`` [n] (targeted), or as any other class (untargeted).

    Targeted, the loss is the cross-entropy with the class. Untargeted, it is the log-odds of the class: its
    gradient has the direction of the negated cross-entropy's, but does not vanish in float32 where the
    probability of the class rounds to 1. The margin is the difference of log-probabilities between the most
    probable class that counts as a failure and the most probable one that counts as a success (Carlini,
    Wagner: Towards evaluating the robustness of neural networks, S&P 2017).

    ``outputs`` maps images and rows to log-probabilities [m, classes]; or, with ``head``, to features, which
    ``head`` maps to log-probabilities with a gradient. Where that is a surrogate, ``exact`` maps the features
    to the head's own log-probabilities.
    """

    outputs: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    classes: torch.Tensor
    targeted: bool
    head: Callable[[torch.Tensor], torch.Tensor] | None = None
    exact: Callable[[torch.Tensor], torch.Tensor] | None = None

    def __call__(self, images: torch.Tensor, rows: torch.Tensor) -> Values:
        """See `Objective`."""
        outputs = self.outputs(images, rows)
        own, rivals = self._sides(outputs if self.head is None else self.head(outputs), rows)
        sign = -1 if self.targeted else 1
        margin = exact_margin = sign * (own - rivals.amax(1))
        if self.exact is not None:
            exact, exact_rivals = self._sides(self.exact(outputs.detach()), rows)
            exact_margin = sign * (exact - exact_rivals.amax(1))
        loss = -own if self.targeted else own - rivals.logsumexp(1)
        return Values(loss, margin, exact_margin.detach())

    def _sides(
        self, log_probabilities: torch.Tensor, rows: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Log-probabilities [m] of the class, and [m, classes] of the others, with minus infinity for it."""
        column = self.classes[rows].unsqueeze(1)
        own = log_probabilities.gather(1, column).squeeze(1)
        return own, log_probabilities.scatter(1, column, -torch.inf)


def misclassify(
    classifier: Classifier,
    sizes: Sequence[tuple[int, int]],
    classes: torch.Tensor,
    *,
    targeted: bool,
    groups: torch.Tensor | None = None,
) -> Misclassify:
    """The objective against a classifier, for pictures of these ``sizes`` on a canvas.

    ``groups`` int64 [classes], where given, is each class's group (its species); ``classes`` are then groups.
    """

    def features(images: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        return classifier.mean_features(cut(images, sizes, rows))

    def outputs_of(head: FittedHead) -> Callable[[torch.Tensor], torch.Tensor]:
        def log_probabilities(features: torch.Tensor) -> torch.Tensor:
            each = head.log_probabilities(features)
            return each if groups is None else grouped(each, groups)

        return log_probabilities

    exact = outputs_of(classifier.head) if classifier.head.has_surrogate else None
    return Misclassify(features, classes, targeted, outputs_of(classifier.head.surrogate()), exact)


def grouped(log_probabilities: torch.Tensor, groups: torch.Tensor) -> torch.Tensor:
    """Log-probabilities [n, groups] of groups of classes: a species' probability is the sum of its breeds'.

    ``groups`` int64 [classes]: each class's group, in 0..g-1.
    """
    members = torch.nn.functional.one_hot(groups).bool().T  # [groups, classes]
    each = log_probabilities.unsqueeze(1).masked_fill(~members, -torch.inf)
    return each.logsumexp(2)


@dataclass(frozen=True)
class Smoothed:
    """An objective plus ``weight`` times the picture's total variation.

    Total variation is the mean absolute difference of neighbouring pixels, after Rudin, Osher, Fatemi:
    Nonlinear total variation based noise removal algorithms, 1992. ``sizes`` [n]: each picture's (height,
    width) on the canvas.
    """

    objective: Objective
    sizes: Sequence[tuple[int, int]]
    weight: float

    def __call__(self, images: torch.Tensor, rows: torch.Tensor) -> Values:
        """See `Objective`."""
        values = self.objective(images, rows)
        variation = torch.stack([total_variation(each) for each in cut(images, self.sizes, rows)])
        return values._replace(loss=values.loss + self.weight * variation)


def with_confidence(objective: Objective, confidence: float) -> Objective:
    """The objective with its decision boundary, from which margins are measured, moved by ``confidence``."""

    def moved(images: torch.Tensor, rows: torch.Tensor) -> Values:
        loss, margin, exact_margin = objective(images, rows)
        return Values(loss, margin + confidence, exact_margin + confidence)

    return moved


def total_variation(picture: torch.Tensor) -> torch.Tensor:
    """Mean absolute difference of horizontal and of vertical neighbours of [3, height, width], summed."""
    return picture.diff(dim=-1).abs().mean() + picture.diff(dim=-2).abs().mean()


def canvas(pictures: Sequence[torch.Tensor]) -> tuple[torch.Tensor, list[tuple[int, int]]]:
    """Pictures [3, height, width] of any sizes on one tensor [n, 3, tallest, widest], and their sizes.

    Bytes become floats in [0, 1]. The padding around a picture is zero and has no gradient, so no attack
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
    """The pictures on a `canvas`, without padding; ``rows`` are their places among the ``sizes``."""
    chosen = sizes if rows is None else [sizes[row] for row in rows.tolist()]
    return [image[:, :height, :width] for image, (height, width) in zip(images.unbind(), chosen, strict=True)]
