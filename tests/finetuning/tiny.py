"""A tiny network and a few small pictures, on which a fine-tuning takes a second."""

from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from pets.backbones.base import Backbone
from pets.core.files import checksum
from pets.finetuning import finetune as finetuning
from pets.finetuning import training
from pets.finetuning.pictures import Labelled
from pets.finetuning.settings import Settings
from pets.images.preprocessing import Preprocessing

SIDE, DIMENSIONS, CLASSES, TRAIN, VALIDATION = 32, 16, 3, 22, 9
MANY = 40  # epochs, of a run that is killed
SETTINGS = Settings(
    epochs=2,
    learning_rate=0.01,
    layer_decay=0.1,
    weight_decay=0.05,
    batch_size=8,
    size=None,
    augment=True,
    label_smoothing=0.1,
    ema_decay=0.9,
    gradient_checkpointing=False,
    freeze_batch_norm=True,
)


class Block(nn.Module):
    """A convolution and its batch norm, and a classifier that the features don't use, as timm's have."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels, DIMENSIONS, 3, 2, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(DIMENSIONS)
        self.unused = nn.Linear(2, 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.norm(self.convolution(images)).relu()
        return features


def backbone(norms: bool = True) -> Backbone:
    """Two blocks of a random network; without ``norms``, convolutions alone. The same each time."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        blocks = nn.Sequential(Block(3, 1), Block(DIMENSIONS, DIMENSIONS))
        for block in blocks.children():
            nn.init.uniform_(block.get_buffer("norm.running_mean"), -0.2, 0.2)
            nn.init.uniform_(block.get_buffer("norm.running_var"), 0.5, 2)
            if not norms:
                block.norm = nn.Identity()
        features = nn.Sequential(blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval().requires_grad_(False)
    preprocessing = Preprocessing(36, SIDE, 36, "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    return Backbone("tiny", features, "", preprocessing, "", "0" * 64)


def start() -> dict[str, torch.Tensor]:
    """A head that knows nothing."""
    generator = torch.Generator().manual_seed(2)
    weight = 0.1 * torch.randn(DIMENSIONS, CLASSES, generator=generator)
    return {"weight": weight, "bias": torch.zeros(CLASSES)}


def labelled(folder: Path) -> tuple[Labelled, Labelled]:
    """Training and validation pictures in a folder, where they are made if they are not there: each class in
    a colour of its own."""
    generator, files = np.random.default_rng(3), []
    labels = torch.arange(TRAIN + VALIDATION) % CLASSES
    for number, label in enumerate(labels.tolist()):
        pixels = generator.integers(0, 140, (40, 44, 3), dtype=np.uint8)
        pixels[..., label] += 60
        files.append(folder / f"{number}.png")
        if not files[-1].exists():
            Image.fromarray(pixels).save(files[-1])
    parts = slice(0, TRAIN), slice(TRAIN, None)
    train, validation = (
        Labelled(files[part], [checksum(file) for file in files[part]], labels[part]) for part in parts
    )
    return train, validation


def run(folder: Path, seed: int = 0, network: Backbone | None = None, **changed: Any) -> finetuning.Finetuned:
    """Fine-tune in a folder, with other settings than ``SETTINGS``."""
    settings = SETTINGS.model_copy(update=changed)
    pictures = labelled(folder)
    return finetuning.finetune(
        network or backbone(), start(), *pictures, settings, seed, "cpu", "float32", folder / "scratch"
    )


def run_in_process(folder: Path, step_taken: Connection) -> None:
    """`run`, to be killed: it saves after each step, and sends its number before it; the result is saved."""
    torch.set_num_threads(1)
    finetuning.SAVED_EVERY = 0
    take_step = training.Trainer.step

    def step(self: training.Trainer, step: int) -> tuple[int, float]:
        step_taken.send(step)
        return take_step(self, step)

    training.Trainer.step = step  # type: ignore[method-assign]
    done = run(folder, epochs=MANY)
    save_file({name: each.contiguous() for name, each in done.tensors.items()}, folder / "result.safetensors")
    done.history.to_csv(folder / "history.csv", index=False)
