"""A fitted head: its tensors, calibration and classes, saved as safetensors and JSON, never pickle."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from pets import heads
from pets.classifier.calibration import Calibration
from pets.core.files import read_json, write_json


@dataclass(frozen=True)
class FittedHead:
    """The head of that ``name``; ``classes`` are the labels in the probabilities' order."""

    name: str
    tensors: dict[str, torch.Tensor]
    calibration: Calibration
    classes: list[str]

    def uncalibrated(self, features: torch.Tensor) -> torch.Tensor:
        """Logits [n, classes] of features [n, dimensions], before calibration; differentiable."""
        return heads.load(self.name).logits(self.tensors, features)

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        """Calibrated logits [n, classes] of features [n, dimensions]; differentiable."""
        return self.calibration.logits(self.uncalibrated(features))

    def log_probabilities(self, features: torch.Tensor) -> torch.Tensor:
        """Calibrated log-probabilities [n, classes] of features [n, dimensions]; differentiable."""
        return self.calibration.log_probabilities(self.uncalibrated(features))

    @torch.inference_mode()
    def probabilities(self, features: torch.Tensor) -> torch.Tensor:
        """Calibrated probabilities [n, classes], float64, of features [n, dimensions]."""
        return self.calibration.log_probabilities(self.uncalibrated(features).double()).exp()

    @property
    def has_surrogate(self) -> bool:
        """Whether its gradients are another classifier's, because its own are zero almost everywhere."""
        return hasattr(heads.load(self.name), "surrogate")

    def surrogate(self) -> "FittedHead":
        """The head to take gradients of: this one, or one with the surrogate's tensors (see `heads.Head`)."""
        if not self.has_surrogate:
            return self
        module: Any = heads.load(self.name)
        return replace(self, tensors=module.surrogate(self.tensors))

    def save(self, folder: Path, **details: Any) -> None:
        """Write head.safetensors and head.json, which has ``details`` too, into an existing folder."""
        on_cpu = {name: tensor.cpu().contiguous() for name, tensor in self.tensors.items()}
        save_file(on_cpu, folder / "head.safetensors")
        described = {"head": self.name, "classes": self.classes, "calibration": asdict(self.calibration)}
        write_json(folder / "head.json", described | details)


def load_head(folder: Path) -> FittedHead:
    """The head that `FittedHead.save` wrote."""
    described = read_json(folder / "head.json")
    return FittedHead(
        name=described["head"],
        tensors=load_file(folder / "head.safetensors"),
        calibration=Calibration(**described["calibration"]),
        classes=described["classes"],
    )
