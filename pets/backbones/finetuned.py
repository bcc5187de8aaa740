"""A backbone whose weights `finetune` trained on a data set, from a pretrained one, its frozen twin."""

from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from pets.backbones import module_of
from pets.backbones.base import Backbone
from pets.core.errors import UserError
from pets.core.files import checksum, read_json, write_json
from pets.core.names import frozen_twin

WEIGHTS, RECORD = "weights.safetensors", "record.json"


def save(folder: Path, tensors: dict[str, torch.Tensor], record: dict[str, Any]) -> None:
    """Write the tensors of ``Backbone.features`` and a record into an existing folder.

    The record has ``size``, the pixels of a side of the network's input.
    """
    save_file({name: each.cpu().contiguous() for name, each in tensors.items()}, folder / WEIGHTS)
    write_json(folder / RECORD, record)


def build(name: str, weights: Path, dataset: str) -> Backbone:
    """The network of ``<backbone>-finetuned`` with the weights in backbones/<name>/<data set>.

    Its input has the size that it was fine-tuned at. UserError where these weights are missing.
    """
    folder, twin = Path("backbones", name, dataset), frozen_twin(name) or name
    if not (folder / WEIGHTS).exists() or not (folder / RECORD).exists():
        raise UserError(
            f"{folder} lacks the weights of {name}; `dvc repro finetune` makes them, `dvc pull finetune` "
            "gets those of a remote."
        )
    backbone: Backbone = import_module(module_of(twin)).build(twin, weights)
    backbone.features.load_state_dict(load_file(folder / WEIGHTS))
    return replace(
        backbone,
        name=name,
        preprocessing=backbone.preprocessing.at_size(read_json(folder / RECORD)["size"]),
        weights_file=(folder / WEIGHTS).as_posix(),
        weights_sha256=checksum(folder / WEIGHTS),
        imagenet=None,
    )
