"""The classifier of the pipeline: pictures to probabilities as embed reads them, and differentiable."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from pets.backbones.base import Backbone
from pets.backbones.build import build
from pets.classifier.fitted_head import FittedHead, load_head
from pets.core.errors import UserError
from pets.core.files import read_json
from pets.embeddings.joining import join
from pets.engines.choice import ENGINES
from pets.engines.device import Device
from pets.engines.gradients import differentiable
from pets.engines.pytorch import Engine
from pets.images.differentiable import network_inputs
from pets.images.png import save_png
from pets.images.preprocessing import Preprocessing


@dataclass(frozen=True)
class Extractor:
    """One backbone, as embed ran it.

    ``features`` maps normalized images [n, 3, side, side] to features [n, dimensions] and is differentiable.
    ``engine``, ``views`` and ``dtype`` are those that embed used, for pictures that are read from files.
    """

    features: nn.Module
    engine: Engine
    views: int
    dtype: str

    def mean_features(self, pictures: torch.Tensor | Sequence[torch.Tensor]) -> torch.Tensor:
        """Features [n, dimensions], the mean over views, of float pictures [3, height, width] in [0, 1]."""
        views = network_inputs(self.engine.preprocessing, pictures, self.views)
        return torch.stack([self.features(view) for view in views]).mean(0).cpu()


class Joined(nn.Module):
    """Several networks that look at the same crop: images [n, 3, side, side] in [0, 1] to joined features.

    Unlike in embed, where each cuts its own crop from the picture, each gets this one, in its own size.
    """

    def __init__(self, networks: Sequence[nn.Module], preprocessings: Sequence[Preprocessing]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.preprocessings = preprocessings

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        """The sides of networks that take any size stay in proportion."""
        share = crops.shape[-1] / self.preprocessings[0].crop
        blocks = []
        for network, each in zip(self.networks, self.preprocessings, strict=True):
            side = each.crop if each.whole == each.crop else round(share * each.crop)
            resized = functional.interpolate(crops, (side, side), mode="bilinear", align_corners=False)
            blocks.append(network(each.normalize(resized)))
        return join(blocks)


@dataclass(frozen=True)
class Classifier:
    """A backbone, or several joined, and a head fitted on their features."""

    head: FittedHead
    extractors: Sequence[Extractor]

    @property
    def classes(self) -> list[str]:
        """The labels in the probabilities' order."""
        return self.head.classes

    @property
    def views(self) -> int:
        """Of each picture: one or two."""
        return self.extractors[0].views

    @property
    def device(self) -> str:
        """Where the networks are."""
        return self.extractors[0].engine.device

    @property
    def batch_size(self) -> int:
        """How many pictures are computed at once."""
        return self.extractors[0].engine.batch_size

    @property
    def preprocessing(self) -> Preprocessing:
        """Of the crop that `features` and `network` take: the backbone's; if joined, the first one's.

        The joined networks normalize by themselves.
        """
        own = self.extractors[0].engine.preprocessing
        return replace(own, mean=(0, 0, 0), std=(1, 1, 1)) if self.extractors[1:] else own

    @property
    def network(self) -> nn.Module:
        """From crops, normalized by `preprocessing`, to features, on `device`."""
        return self._joined([each.engine.network for each in self.extractors])

    def features(self, crops: torch.Tensor) -> torch.Tensor:
        """Features [n, dimensions], differentiable, of crops [n, 3, side, side] for the `preprocessing`."""
        features: torch.Tensor = self._joined([each.features for each in self.extractors])(crops)
        return features.cpu()

    def _joined(self, networks: list[nn.Module]) -> nn.Module:
        preprocessings = [each.engine.preprocessing for each in self.extractors]
        return Joined(networks, preprocessings) if networks[1:] else networks[0]

    def mean_features(self, pictures: torch.Tensor | Sequence[torch.Tensor]) -> torch.Tensor:
        """Features [n, dimensions], the mean over views, of float pictures [3, height, width] in [0, 1]."""
        return join([each.mean_features(pictures) for each in self.extractors])

    def log_probabilities(self, pictures: torch.Tensor | Sequence[torch.Tensor]) -> torch.Tensor:
        """Log-probabilities [n, classes] of float pictures; differentiable (by the surrogate, if any)."""
        return self.head.surrogate().log_probabilities(self.mean_features(pictures))

    @torch.inference_mode()
    def probabilities(self, pictures: Sequence[torch.Tensor]) -> torch.Tensor:
        """Probabilities [n, classes], float64, of float pictures, by the head itself."""
        size = self.batch_size
        batches = [pictures[start : start + size] for start in range(0, len(pictures), size)]
        parts = [self.head.log_probabilities(self.mean_features(batch)) for batch in batches]
        return torch.cat(parts).double().exp()

    def features_of_files(self, files: Sequence[Path | bytes]) -> torch.Tensor:
        """Features [n, dimensions] of picture files, or their bytes, read as embed reads them."""
        return join([each.engine.embed(files, each.views, each.dtype) for each in self.extractors])

    def probabilities_of_files(self, files: Sequence[Path]) -> torch.Tensor:
        """Probabilities [n, classes], float64, of picture files, read as embed and evaluate read them."""
        return self.head.probabilities(self.features_of_files(files))

    def probabilities_once_saved(self, pictures: Sequence[torch.Tensor]) -> torch.Tensor:
        """`probabilities_of_files` of float pictures saved as 8-bit PNG for a moment."""
        with tempfile.TemporaryDirectory() as folder:
            files = [Path(folder, f"{number}.png") for number in range(len(pictures))]
            for picture, file in zip(pictures, files, strict=True):
                save_png(picture, file)
            return self.probabilities_of_files(files)


def load(model: Path, weights: Path, device: Device, gradients: str | None = None) -> Classifier:
    """The classifier in a model's folder, with the precision, views and dtype that its head was fitted on.

    ``gradients`` is the precision of ``features`` where it isn't to be that of the embeddings.
    """
    extractors, described = [], read_json(model / "head.json")
    for part, recipe in described["embeddings"].items():
        network = checked(build(part, weights, described["dataset"]), recipe, model)
        # Before the engine takes the network, since it changes the modules.
        features = differentiable(network, device, gradients or recipe["precision"])
        engine = ENGINES[recipe["engine"]](network, device, recipe["precision"])
        extractors.append(Extractor(features, engine, recipe["views"], recipe["dtype"]))
    return Classifier(load_head(model), extractors)


def checked(network: Backbone, recipe: dict[str, Any], model: Path) -> Backbone:
    """The network; UserError where its weights are not those of the features that the head was fitted on."""
    if network.weights_sha256 != recipe["weights_sha256"]:
        raise UserError(
            f"{network.weights_file} has the sha256 {network.weights_sha256[:12]}..., and {model} was "
            f"trained with {recipe['weights_sha256'][:12]}...; get those weights, or run `dvc repro`."
        )
    return network
