"""A backbone by its name."""

from importlib import import_module
from pathlib import Path

from pets.backbones import module_of
from pets.backbones.base import Backbone, NoClassifierError
from pets.core.names import frozen_twin, parts


def build(name: str, weights: Path, dataset: str = "") -> Backbone:
    """The backbone of that name (see `pets.core.names`), in evaluation mode, on the CPU, in float32.

    ``weights`` is the folder of weight files; a fine-tuned backbone has other weights for each ``dataset``.
    Raises UserError where the weights can't be had.
    """
    module = import_module(module_of(name))
    backbone: Backbone = (
        module.build(name, weights, dataset) if frozen_twin(name) else module.build(name, weights)
    )
    for network in (backbone.features, backbone.imagenet):
        if network is not None:
            network.eval().requires_grad_(False)
    return backbone


def build_classifier(name: str, weights: Path) -> Backbone:
    """The backbone with ImageNet's 1,000 logits for its features; NoClassifierError if it has none."""
    if len(parts(name)) > 1:
        raise NoClassifierError(f"{name} joins backbones, each with a classifier of its own.")
    if frozen_twin(name):
        raise NoClassifierError(f"{name} was fine-tuned on each data set, without ImageNet's classes.")
    return build(name, weights).as_classifier()
