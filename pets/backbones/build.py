"""A backbone by its name."""

from importlib import import_module
from pathlib import Path

from pets.backbones import module_of
from pets.backbones.base import Backbone, NoClassifierError
from pets.core.names import parts


def build(name: str, weights: Path) -> Backbone:
    """The backbone of that name (see `pets.core.names`), in evaluation mode, on the CPU, in float32.

    ``weights`` is the folder of weight files. Raises UserError where the weights can't be had.
    """
    backbone: Backbone = import_module(module_of(name)).build(name, weights)
    for module in (backbone.features, backbone.imagenet):
        if module is not None:
            module.eval().requires_grad_(False)
    return backbone


def build_classifier(name: str, weights: Path) -> Backbone:
    """The backbone with ImageNet's 1,000 logits for its features; NoClassifierError if it has none."""
    if len(parts(name)) > 1:
        raise NoClassifierError(f"{name} joins backbones, each with a classifier of its own.")
    return build(name, weights).as_classifier()
