"""The classifier of the pipeline: pictures to probabilities as embed reads them, and differentiable."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from pets.backbones.build import build
from pets.classifier.fitted_head import FittedHead, load_head
from pets.dataset import Dataset
from pets.engines.choice import ENGINES
from pets.engines.device import Device
from pets.engines.gradients import differentiable
from pets.engines.pytorch import Engine
from pets.images.differentiable import network_inputs
from pets.images.png import save_png
from pets.images.preprocessing import Preprocessing


@dataclass(frozen=True)
class Classifier:
    """A backbone and a fitted head.

    ``features`` maps normalized images [n, 3, side, side] to features [n, dimensions] and is differentiable.
    ``engine``, ``views`` and ``dtype`` are those that embed used, for pictures that are read from files.
    """

    head: FittedHead
    features: Callable[[torch.Tensor], torch.Tensor]
    engine: Engine
    views: int
    dtype: str

    @property
    def classes(self) -> list[str]:
        """The labels in the probabilities' order."""
        return self.head.classes

    @property
    def preprocessing(self) -> Preprocessing:
        """The backbone's."""
        return self.engine.preprocessing

    def mean_features(self, pictures: torch.Tensor | Sequence[torch.Tensor]) -> torch.Tensor:
        """Features [n, dimensions], the mean over views, of float pictures [3, height, width] in [0, 1]."""
        views = network_inputs(self.preprocessing, pictures, self.views)
        return torch.stack([self.features(view) for view in views]).mean(0)

    def log_probabilities(self, pictures: torch.Tensor | Sequence[torch.Tensor]) -> torch.Tensor:
        """Log-probabilities [n, classes] of float pictures; differentiable (by the surrogate, if any)."""
        return self.head.surrogate().log_probabilities(self.mean_features(pictures))

    @torch.inference_mode()
    def probabilities(self, pictures: Sequence[torch.Tensor]) -> torch.Tensor:
        """Probabilities [n, classes], float64, of float pictures, by the head itself."""
        size = self.engine.batch_size
        batches = [pictures[start : start + size] for start in range(0, len(pictures), size)]
        parts = [self.head.log_probabilities(self.mean_features(batch)) for batch in batches]
        return torch.cat(parts).double().exp()

    def probabilities_of_files(self, files: Sequence[Path]) -> torch.Tensor:
        """Probabilities [n, classes], float64, of picture files, read as embed and evaluate read them."""
        return self.head.probabilities(self.engine.embed(files, self.views, self.dtype))

    def probabilities_once_saved(self, pictures: Sequence[torch.Tensor]) -> torch.Tensor:
        """`probabilities_of_files` of float pictures saved as 8-bit PNG for a moment."""
        with tempfile.TemporaryDirectory() as folder:
            files = [Path(folder, f"{number}.png") for number in range(len(pictures))]
            for picture, file in zip(pictures, files, strict=True):
                save_png(picture, file)
            return self.probabilities_of_files(files)


def load(
    dataset: Dataset, backbone: str, head: str, weights: Path, device: Device, gradients: str | None = None
) -> Classifier:
    """The trained classifier, with the precision, views and dtype of the data set's embeddings.

    ``gradients`` is the precision of ``features`` where it isn't to be that of the embeddings.
    """
    metadata = dataset.embeddings_metadata(backbone)
    network = build(backbone, weights)
    # Before the engine takes the network, since it changes the modules.
    features = differentiable(network, device, gradients or metadata["precision"])
    return Classifier(
        head=load_head(dataset.model(backbone, head)),
        features=lambda images: features(images).cpu(),
        engine=ENGINES[metadata["engine"]](network, device, metadata["precision"]),
        views=metadata["views"],
        dtype=metadata["dtype"],
    )
