"""What an attack found, image by image, and the bookkeeping that all attacks share."""

from dataclasses import dataclass

import torch

from stages.attacks.objective import Judged, Objective


@dataclass
class Found:
    """The best image so far for each of n originals.

    ``images`` [n, 3, height, width]; ``margin`` [n], that of the verdict, infinite before the first look;
    ``steps`` [n], the step that found it; ``given_up`` [n], where the loss or its gradient was not a number.
    """

    images: torch.Tensor
    margin: torch.Tensor
    steps: torch.Tensor
    given_up: torch.Tensor

    @classmethod
    def start(cls, originals: torch.Tensor) -> "Found":
        """Nothing yet: the originals themselves."""
        n, device = len(originals), originals.device
        return cls(
            originals.clone(),
            torch.full((n,), torch.inf, dtype=originals.dtype, device=device),
            torch.zeros(n, dtype=torch.int64, device=device),
            torch.zeros(n, dtype=torch.bool, device=device),
        )

    @property
    def fooled(self) -> torch.Tensor:
        """Bool [n]: whether the classifier misreads the image, before it is saved."""
        return self.margin < 0

    def keep(self, rows: torch.Tensor, images: torch.Tensor, margin: torch.Tensor, step: int) -> None:
        """Take these as the best of their rows."""
        self.images[rows], self.margin[rows], self.steps[rows] = images, margin, step


def look(
    objective: Objective, images: torch.Tensor, rows: torch.Tensor, by: str = "loss"
) -> tuple[Judged, torch.Tensor, torch.Tensor]:
    """The objective at ``images``, the gradient of its ``by`` (loss or margin), and which rows are finite.

    Only the pixels get a gradient.
    """
    images = images.detach().requires_grad_()
    judged = objective(images, rows)
    (gradient,) = torch.autograd.grad(getattr(judged, by).sum(), images)
    judged = Judged(*(each.detach() for each in judged))
    finite = torch.stack([*judged]).isfinite().all(0) & gradient.flatten(1).isfinite().all(1)
    return judged, gradient, finite


def norms(changes: torch.Tensor) -> torch.Tensor:
    """The L2 norm of each of [n, 3, height, width], shaped [n, 1, 1, 1]; no less than a tiny number."""
    return changes.flatten(1).norm(dim=1).clamp_min(1e-12).view(-1, 1, 1, 1)
