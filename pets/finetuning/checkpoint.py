"""What a killed run continues from: one file of tensors, with the numbers as JSON in its header."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from pets.core.files import atomic, read_json, remove, write_json

KEY = "state"  # of the file's header


@dataclass(frozen=True)
class Checkpoint:
    """``tensors`` by name, and ``state``, numbers as JSON has them."""

    tensors: dict[str, torch.Tensor]
    state: dict[str, Any]

    def save(self, file: Path) -> None:
        """Write the file, which is complete or not there."""
        on_cpu = {name: each.detach().cpu().contiguous() for name, each in self.tensors.items()}
        with atomic(file) as temporary:
            save_file(on_cpu, temporary, {KEY: json.dumps(self.state)})


def load(file: Path) -> Checkpoint | None:
    """The checkpoint in that file, or None where there is none."""
    if not file.exists():
        return None
    with safe_open(file, "pt") as content:
        tensors = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118 (not a mapping)
        return Checkpoint(tensors, json.loads(content.metadata()[KEY]))


def prepare(folder: Path, recipe: dict[str, Any]) -> None:
    """Empty the folder unless what is in it belongs to this recipe; a printed line says if not, and why.

    A recipe is everything that determines the weights that come out.
    """
    file = folder / "recipe.json"
    wanted = {key: _digest(value) for key, value in recipe.items()}
    known = read_json(file) if file.exists() else {}
    if known and known != wanted:
        changed = ", ".join(sorted(key for key in known | wanted if known.get(key) != wanted.get(key)))
        print(f"the checkpoint in {folder} is of other {changed}: fine-tuning begins anew.")
    if known != wanted:
        remove(folder)
        write_json(file, wanted)


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
