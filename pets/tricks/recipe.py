"""All settings of one training."""

from dataclasses import dataclass, replace
from typing import Literal

Network = Literal["linear", "mlp"]


@dataclass(frozen=True)
class Recipe:
    """One way to train a network on features; the defaults are the plain baseline.

    It is plain SGD with the same learning rate in all steps, on the features as they are, from weights drawn
    evenly within 1 / sqrt(inputs), as PyTorch's are. The learning rate itself is no part of it, see `scale`.
    """

    network: Network = "linear"
    init: Literal["default", "zeros", "large", "xavier", "he"] = "default"
    inputs: Literal["plain", "centred", "standardized", "whitened", "unit", "root"] = "plain"
    batch_norm: bool = False
    dropout: float = 0.0  # share of the inputs (linear) or hidden units (mlp) that are left out
    weight_decay: float = 0.0
    label_smoothing: float = 0.0
    mixup: float = 0.0  # both parameters of the beta distribution; 0: none
    optimizer: Literal["sgd", "adam", "adamw", "lbfgs"] = "sgd"
    momentum: float = 0.0
    nesterov: bool = False
    rate_factor: float = 1.0  # times the rate that was chosen for its `scale`
    schedule: Literal["constant", "step", "cosine", "one_cycle"] = "constant"
    clip: float = float("inf")  # the largest L2 norm of a run's gradient
    batch_factor: float = 1.0  # times the table's batch size
    averaging: bool = False
    early_stopping: bool = False

    @property
    def structure(self) -> "Recipe":
        """What recipes share that are trained in the same products: all else set to plain."""
        return replace(
            self, init="default", weight_decay=0.0, label_smoothing=0.0, rate_factor=1.0,
            schedule="constant", clip=float("inf"), averaging=False, early_stopping=False,
        )  # fmt: skip

    @property
    def scale(self) -> "Recipe":
        """What a learning rate is chosen for: it with what sets the size of steps, and else plain."""
        return Recipe(self.network, inputs=self.inputs, batch_norm=self.batch_norm, optimizer=self.optimizer)
