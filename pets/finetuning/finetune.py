"""A fine-tuning from start to end: its epochs, its checkpoints, and the epoch that is best on validation."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from pydantic import TypeAdapter

from pets.backbones.base import Backbone
from pets.core.files import checksum
from pets.core.imports import ROOT, files_of
from pets.core.progress import progress_bar
from pets.engines.device import Device, Precision, resolve_device
from pets.finetuning import checkpoint
from pets.finetuning.checkpoint import Checkpoint
from pets.finetuning.pictures import Labelled, decode_once, stored
from pets.finetuning.settings import Settings
from pets.finetuning.training import Trainer, under
from pets.finetuning.validation import Validation
from pets.images.preprocessing import Preprocessing

COLUMNS = ["epoch", "learning_rate", "train_loss", "validation_nll", "validation_top1"]
SAVED_EVERY = 60  # seconds between two checkpoints, which cost as much as a few steps


@dataclass(frozen=True)
class Finetuned:
    """``tensors``: the state of ``Backbone.features`` after the ``epoch`` that was best on validation.

    ``history`` has a row for each epoch: epoch, learning_rate (of its last step), train_loss, validation_nll,
    validation_top1, chosen. Epoch 0 is the start: the frozen network and its head.
    """

    tensors: dict[str, torch.Tensor]
    history: pd.DataFrame

    @property
    def epoch(self) -> int:
        """The epoch that was chosen; 0 if none was better than the start."""
        return int(self.history.loc[self.history["chosen"], "epoch"].iloc[0])


def finetune(
    backbone: Backbone,
    start: dict[str, torch.Tensor],
    train: Labelled,
    validation: Labelled,
    settings: Settings,
    seed: int,
    device: Device,
    precision: Precision,
    folder: Path,
) -> Finetuned:
    """Train the backbone and the linear head ``start`` together on ``train``.

    The weights that are best on ``validation`` are kept. ``folder`` is for what a killed run continues from,
    if backbone, pictures, settings, device and code are still the same; it may be removed afterwards.
    """
    where = resolve_device(device)
    recipe = {
        "weights": [backbone.name, backbone.weights_sha256],
        "input": TypeAdapter(Preprocessing).dump_python(backbone.preprocessing, mode="json"),
        "head": {name: each.tolist() for name, each in start.items()},
        "pictures": [[each.checksums, each.labels.tolist()] for each in (train, validation)],
        "settings": settings.model_dump(mode="json"),
        "seed": seed,
        "device": [where, precision],
        "code": {str(file): checksum(ROOT / file) for file in files_of("pets.finetuning.finetune")},
    }
    checkpoint.prepare(folder, recipe)
    if where == "cuda":
        print("On a GPU rounding differs from run to run: run again, the weights will differ a little.")
    kept = stored(backbone.preprocessing, settings.augment)
    pictures = decode_once(train, kept, folder / "train.npy", "training pictures")
    held_out = decode_once(validation, backbone.preprocessing, folder / "val.npy", "validation pictures")
    trainer = Trainer(backbone, start, pictures, train.labels, settings, seed, where, precision)
    counts = np.bincount(train.labels, minlength=len(start["bias"]))
    measured = Validation(trainer.averaged, backbone, held_out, validation.labels, counts, where, precision)
    return _run(trainer, measured, settings.epochs, folder / "checkpoint.safetensors")


def _run(trainer: Trainer, validation: Validation, epochs: int, file: Path) -> Finetuned:
    """All epochs, from the checkpoint in ``file`` if there is one."""
    first, loss, history, best = _begin(trainer, validation, file)
    images, total, saved = len(trainer.labels), trainer.steps * epochs, time.monotonic()
    with progress_bar(images * epochs, "fine-tune") as progress:
        epoch, of_epoch = divmod(first, trainer.steps)
        done = epoch * images + min(of_epoch * trainer.settings.batch_size, images)
        progress.n = progress.initial = done  # so that the rate is of this process
        for step in range(first, total):
            count, of_batch = trainer.step(step)
            loss += of_batch
            epoch, of_epoch = step // trainer.steps + 1, step % trainer.steps + 1
            rate, mean = trainer.learning_rate, loss / of_epoch
            shown = f"epoch {epoch}/{epochs}, loss {mean:.3f}, learning rate {rate:.1e}"
            progress.set_postfix_str(shown, refresh=False)
            progress.update(count)
            ended = of_epoch == trainer.steps
            if ended:
                row = {"epoch": epoch, "learning_rate": rate, "train_loss": mean}
                history.append(row | validation.measure())
                best = trainer.features() if history[-1] is _best(history) else best
                loss = 0.0
                print(_in_words(history[-1]))
            if ended or time.monotonic() - saved > SAVED_EVERY:
                tensors = trainer.state() | {f"best/{name}": each for name, each in best.items()}
                Checkpoint(tensors, {"step": step + 1, "loss": loss, "history": history}).save(file)
                saved = time.monotonic()
    table = pd.DataFrame(history, columns=COLUMNS)
    return Finetuned(best, table.assign(chosen=table["epoch"] == _best(history)["epoch"]))


def _begin(
    trainer: Trainer, validation: Validation, file: Path
) -> tuple[int, float, list[dict[str, Any]], dict[str, torch.Tensor]]:
    """The first step, the loss so far of its epoch, the history and the best weights."""
    if (found := checkpoint.load(file)) is None:
        history = [{"epoch": 0, "learning_rate": None, "train_loss": None, **validation.measure()}]
        print(_in_words(history[0]))
        return 0, 0.0, history, trainer.features()
    step, loss, history = (found.state[name] for name in ("step", "loss", "history"))
    trainer.resume(found.tensors, step)
    print(f"continuing after step {step} of {trainer.steps * trainer.settings.epochs}")
    return step, loss, history, under(found.tensors, "best")


def _best(history: list[dict[str, Any]]) -> dict[str, Any]:
    """The epoch with the lowest validation NLL, the earliest of several."""
    return min(history, key=lambda row: row["validation_nll"])


def _in_words(row: dict[str, Any]) -> str:
    trained = f"training loss {row['train_loss']:.4f}, " if row["epoch"] else "the start, "
    measured = f"top-1 {row['validation_top1']:.4f}, negative log-likelihood {row['validation_nll']:.4f}"
    return f"epoch {row['epoch']}: {trained}validation {measured}"
