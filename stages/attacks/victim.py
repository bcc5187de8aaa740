"""The classifier under attack, as its attacker sees it and as the pipeline uses it."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from stages.attacks.classifier import Classifier, Probe, grouped
from stages.attacks.objective import Misread, cut
from stages.attacks.reread import reread, save
from stages.backbones.build import build
from stages.engines.eager import Device, Engine
from stages.engines.gradients import differentiable
from stages.files import read_json
from stages.heads.calibration import Calibration
from stages.heads.registry import HEADS


@dataclass(frozen=True)
class Victim:
    """One backbone and head.

    ``classifier`` gives gradients; ``engine``, ``views`` and ``dtype`` are embed's, and ``probe`` is the head
    as it is, for what is read again. ``classes`` are the labels' names in the probabilities' order.
    """

    classifier: Classifier
    engine: Engine
    views: int
    dtype: str
    probe: Probe
    classes: list[str]

    def misread(
        self,
        sizes: Sequence[tuple[int, int]],
        classes: torch.Tensor,
        *,
        targeted: bool,
        groups: torch.Tensor | None = None,
    ) -> Misread:
        """The objective for pictures of these ``sizes`` on a canvas; of groups of classes where given."""

        def features(images: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
            return self.classifier.mean_features(cut(images, sizes, rows))

        def said_by(probe: Probe) -> Callable[[torch.Tensor], torch.Tensor]:
            def log_probabilities(features: torch.Tensor) -> torch.Tensor:
                each = probe.log_probabilities(features)
                return each if groups is None else grouped(each, groups)

            return log_probabilities

        exact = said_by(self.probe) if self.probe.has_stand_in else None
        return Misread(features, classes, targeted, said_by(self.classifier.probe), exact)

    @torch.inference_mode()
    def before_saving(self, pictures: Sequence[torch.Tensor]) -> torch.Tensor:
        """Probabilities [n, classes], float64, of float pictures by the head itself."""
        exact = Classifier(self.classifier.features, self.classifier.preprocessing, self.views, self.probe)
        size = self.engine.batch_size
        parts = [
            exact.log_probabilities(pictures[start : start + size]) for start in range(0, len(pictures), size)
        ]
        return torch.cat(parts).double().exp()

    @torch.inference_mode()
    def read(self, files: Sequence[Path]) -> torch.Tensor:
        """Probabilities [n, classes], float64, of saved pictures, as evaluate has them."""
        features = reread(files, self.engine, self.views, self.dtype)
        return self.of(features)

    @torch.inference_mode()
    def of(self, features: torch.Tensor) -> torch.Tensor:
        """Probabilities [n, classes], float64, of stored features [n, dimensions]."""
        logits = self.probe.head.logits(self.probe.tensors, features)
        return self.probe.calibration.log_probabilities(logits.double()).exp()

    def read_saved(self, pictures: Sequence[torch.Tensor]) -> torch.Tensor:
        """Save float pictures [3, height, width] for a moment and `read` them."""
        with tempfile.TemporaryDirectory() as folder:
            files = [Path(folder, f"{number}.png") for number in range(len(pictures))]
            for picture, file in zip(pictures, files, strict=True):
                save(picture, file)
            return self.read(files)


def load(
    model: Path,
    backbone: str,
    weights: Path,
    device: Device,
    card: dict[str, Any],
    gradients: str | None = None,
) -> Victim:
    """The victim in a trained head's folder; its embeddings' ``card`` says how embed reads pictures.

    ``gradients`` is the precision of the way that has them, if it isn't to be embed's.
    """
    probe, classes = load_probe(model)
    network = build(backbone, weights)
    # Before the engine takes the network.
    features = differentiable(network, device, gradients or card["precision"])
    engine = Engine(network, device, card["precision"])
    classifier = Classifier(
        lambda images: features(images).cpu(), network.preprocessing, card["views"], probe.smooth()
    )
    return Victim(classifier, engine, card["views"], card["dtype"], probe, classes)


def load_probe(model: Path) -> tuple[Probe, list[str]]:
    """The head in a trained head's folder, and its classes in the probabilities' order."""
    trained = read_json(model / "head.json")
    tensors = load_file(model / "head.safetensors")
    return Probe(HEADS[trained["head"]], tensors, Calibration(**trained["calibration"])), trained["classes"]
