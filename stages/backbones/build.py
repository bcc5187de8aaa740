"""A backbone by its name."""

from pathlib import Path

from stages.backbones import LITE
from stages.backbones.base import Backbone
from stages.backbones.lite import build_lite
from stages.backbones.vision import build_vision


def build(name: str, weights: Path) -> Backbone:
    """The backbone of that name (see `stages.backbones.names`), in evaluation mode, on the CPU, in float32.

    ``weights`` is the folder of weight files. Raises UserError where the weights are not to be had.
    """
    backbone = build_lite(name) if name in LITE else build_vision(name, weights)
    for module in (backbone.features, backbone.classifier, backbone.imagenet):
        if module is not None:
            module.eval().requires_grad_(False)
    return backbone
