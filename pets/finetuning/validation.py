"""How good a network in training is on the validation images."""

from dataclasses import replace

import numpy as np
import torch

from pets.backbones.base import Backbone
from pets.classifier.calibration import calibrate
from pets.engines.device import Precision
from pets.engines.pytorch import Engine
from pets.finetuning.network import Network
from pets.heads import linear


class Validation:
    """A ``network`` on ``pictures``, uint8 [n, side, side, 3], run as embed runs it; ``labels`` int64 [n]."""

    def __init__(
        self,
        network: Network,
        backbone: Backbone,
        pictures: np.ndarray,
        labels: torch.Tensor,
        train_counts: np.ndarray,
        device: str,
        precision: Precision,
    ) -> None:
        """``train_counts``: the training images of each class."""
        self.network, self.pictures, self.labels, self.counts = network, pictures, labels, train_counts
        evaluated = replace(backbone, features=network.features)
        self.engine = Engine(evaluated, device, precision)  # type: ignore[arg-type]

    @torch.no_grad()
    def measure(self) -> dict[str, float]:
        """validation_nll, calibrated as `train` does, in nats, and validation_top1."""
        size = self.engine.batch_size
        batches = (
            [torch.from_numpy(self.pictures[start : start + size]).permute(0, 3, 1, 2)]
            for start in range(0, len(self.pictures), size)
        )
        features = torch.from_numpy(np.concatenate(list(self.engine.run(batches))))
        head = {name: each.cpu() for name, each in self.network.head.items()}
        logits = linear.logits(head, features)
        nll = calibrate(logits, self.labels, self.counts).nll(logits, self.labels)
        top1 = float((logits.argmax(1) == self.labels).float().mean())
        return {"validation_nll": nll, "validation_top1": top1}
