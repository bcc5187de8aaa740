"""The result of an attack's search, image by image, and what all searches share."""

from dataclasses import dataclass

import torch

from pets.attacks.objective import Objective, Values


@dataclass
class SearchResult:
    """The best image so far for each of n originals.

    ``images`` [n, 3, height, width]; ``margin`` [n], by the head itself, infinite before the first
    evaluation; ``steps`` [n], the step that found it; ``non_finite`` [n], where the loss or its gradient
    was NaN or infinite.
    """

    images: torch.Tensor
    margin: torch.Tensor
    steps: torch.Tensor
    non_finite: torch.Tensor

    @classmethod
    def initial(cls, originals: torch.Tensor) -> "SearchResult":
        """Before the search: the originals themselves."""
        n, device = len(originals), originals.device
        return cls(
            originals.clone(),
            torch.full((n,), torch.inf, dtype=originals.dtype, device=device),
            torch.zeros(n, dtype=torch.int64, device=device),
            torch.zeros(n, dtype=torch.bool, device=device),
        )

    @property
    def fooled(self) -> torch.Tensor:
        """Bool [n]: whether the attack succeeded, before the image is saved."""
        return self.margin < 0

    def update(
        self, rows: torch.Tensor, images: torch.Tensor, margin: torch.Tensor, step: int | torch.Tensor
    ) -> None:
        """Replace the best images of these rows."""
        self.images[rows], self.margin[rows], self.steps[rows] = images, margin, step


def evaluate(
    objective: Objective, images: torch.Tensor, rows: torch.Tensor, by: str = "loss"
) -> tuple[Values, torch.Tensor, torch.Tensor]:
    """The objective at ``images``, the gradient of its ``by`` (loss or margin), and which rows are finite.

    Only the pixels get a gradient.
    """
    images = images.detach().requires_grad_()
    values = objective(images, rows)
    (gradient,) = torch.autograd.grad(getattr(values, by).sum(), images)
    values = Values(*(each.detach() for each in values))
    finite = torch.stack([*values]).isfinite().all(0) & gradient.flatten(1).isfinite().all(1)
    return values, gradient, finite


def l2_norms(changes: torch.Tensor) -> torch.Tensor:
    """The L2 norm of each of [n, 3, height, width], shaped [n, 1, 1, 1], and at least 1e-12."""
    return changes.flatten(1).norm(dim=1).clamp_min(1e-12).view(-1, 1, 1, 1)
