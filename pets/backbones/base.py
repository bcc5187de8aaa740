"""A backbone: a pretrained network, cut where its features are."""

import pickle  # only for the name of the error that weights_only=True raises
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from pets.core.errors import UserError
from pets.images.preprocessing import Preprocessing


class NoClassifierError(Exception):
    """A backbone has no classifier for ImageNet's classes; the message says why, in a sentence."""


@dataclass(frozen=True)
class Backbone:
    """A frozen network as a feature extractor.

    ``features``: normalized images [n, 3, crop, crop] to vectors [n, dimensions]. ``imagenet``: images to
    ImageNet's 1,000 logits, by the complete network as it was trained, or None where it has no such
    classifier. ``layer`` says in words what the features are; ``weights_sha256`` is the checksum of the
    weights' file.
    """

    name: str
    features: nn.Module
    layer: str
    preprocessing: Preprocessing
    weights_file: str
    weights_sha256: str
    imagenet: nn.Module | None = None

    def as_classifier(self) -> "Backbone":
        """The same network with ImageNet's 1,000 logits for its features; NoClassifierError without them."""
        if self.imagenet is None:
            raise NoClassifierError(f"{self.name} was trained without ImageNet's classes.")
        return replace(self, features=self.imagenet, layer="ImageNet's 1,000 logits")

    @property
    def dimensions(self) -> int:
        """Length of one feature vector."""
        size = self.preprocessing.crop
        device = next(self.features.parameters()).device
        with torch.inference_mode():
            return self.features(torch.zeros(1, 3, size, size, device=device)).shape[1]


def load_weights(network: nn.Module, file: Path) -> None:
    """Load a file of weights, tensors only; UserError where the file is not this network's weights."""
    try:
        network.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    except (RuntimeError, ValueError, KeyError, EOFError, OSError, pickle.UnpicklingError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"{file} does not hold weights of {type(network).__name__}: {reason}") from None
