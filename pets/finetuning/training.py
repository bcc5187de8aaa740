"""The steps of the training: AdamW over all weights in one cycle, and a moving average of the weights."""

import math
from typing import cast

import numpy as np
import torch
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel

from pets.backbones.base import Backbone
from pets.core.errors import UserError
from pets.engines.device import Precision
from pets.engines.memory import halved
from pets.finetuning.network import (
    Network,
    checkpoint_gradients,
    fold_batch_norms,
    parameter_groups,
    trainable,
    unfreeze_batch_norms,
)
from pets.finetuning.pictures import crops
from pets.finetuning.settings import Settings

ORDER, CROPS = 0, 1  # what a random generator is for, beside seed, epoch and step
MOMENTS = ("exp_avg", "exp_avg_sq")  # what AdamW remembers of each parameter
Tensors = list[torch.Tensor] | tuple[torch.Tensor, ...]


def training_precision(wanted: Precision, device: str) -> torch.dtype:
    """The precision of a step that ``embed.precision`` means.

    "auto" is bfloat16 on a GPU and float32 on a CPU, where bfloat16's backward pass of small convolutions
    takes 1.5 times as long (EfficientNet-Lite0, 128 px, AVX512-BF16). float16 becomes bfloat16: small
    gradients would vanish.
    """
    if wanted == "auto":
        return torch.bfloat16 if device == "cuda" else torch.float32
    return torch.bfloat16 if wanted == "float16" else getattr(torch, wanted)


class Trainer:
    """A network in training; ``averaged`` is the one whose weights are the moving average of its own.

    Every random choice follows from (seed, epoch, step), so that nothing is carried from step to step but the
    tensors of `state`.
    """

    def __init__(
        self,
        backbone: Backbone,
        start: dict[str, torch.Tensor],
        pictures: np.ndarray,
        labels: torch.Tensor,
        settings: Settings,
        seed: int,
        device: str,
        precision: Precision,
    ) -> None:
        """``pictures`` uint8 [n, side, side, 3] (see `pets.finetuning.pictures`), ``labels`` int64 [n]."""
        self.settings, self.seed, self.device = settings, seed, device
        self.dtype = training_precision(precision, device)
        self.preprocessing = backbone.preprocessing
        self.pictures, self.labels = pictures, labels.to(device)
        self.network = trainable(backbone, start, device)
        # A copy, made before batch norms are folded; the plain network evaluates it.
        self.average = AveragedModel(self.network, multi_avg_fn=self._average)
        self.averaged = cast(Network, self.average.module).requires_grad_(False)
        if settings.freeze_batch_norm:
            fold_batch_norms(self.network, backbone.preprocessing.crop)
        else:
            unfreeze_batch_norms(self.network)
        if settings.gradient_checkpointing:
            checkpoint_gradients(backbone)
        groups = parameter_groups(
            self.network, settings.learning_rate, settings.layer_decay, settings.weight_decay
        )
        self.optimizer = torch.optim.AdamW(groups)
        self.steps = math.ceil(len(labels) / settings.batch_size)  # of an epoch
        self.part = settings.batch_size  # images whose gradients are computed at once
        self.scheduler = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, [each["lr"] for each in groups], total_steps=self.steps * settings.epochs
        )

    @property
    def learning_rate(self) -> float:
        """Of the last step, of the head."""
        return float(self.scheduler.get_last_lr()[-1])

    def step(self, step: int) -> tuple[int, float]:
        """One step of the optimizer; returns the images of its batch and their mean loss, in nats.

        Out of memory halves the parts of a batch whose gradients are summed, and repeats the step.
        """
        epoch, of_epoch = divmod(step, self.steps)
        order = np.random.default_rng([self.seed, ORDER, epoch]).permutation(len(self.labels))
        size = self.settings.batch_size
        rows = order[of_epoch * size : (of_epoch + 1) * size]
        generator = np.random.default_rng([self.seed, CROPS, epoch, of_epoch])
        images = crops(self.pictures, rows, self.preprocessing.crop, generator)
        labels = self.labels[torch.from_numpy(rows)]
        if step:
            self.scheduler.step()
        while True:
            try:
                loss = self._gradients(images, labels)
                break
            except RuntimeError as error:
                self.part = halved(error, min(self.part, len(rows)), self.device)
        if not math.isfinite(loss):
            raise UserError(
                f"the loss is no number in epoch {epoch + 1}; set a lower finetune.learning_rate."
            )
        self.optimizer.step()
        self.average.update_parameters(self.network)
        return len(rows), loss

    def _gradients(self, images: torch.Tensor, labels: torch.Tensor) -> float:
        """Set the gradients of the batch's mean loss, summed over its parts; returns that loss."""
        self.optimizer.zero_grad()
        total = 0.0
        for start in range(0, len(images), self.part):
            part = images[start : start + self.part].to(self.device)
            floats = part.contiguous(memory_format=torch.channels_last).float() / 255
            with torch.autocast(self.device, self.dtype, enabled=self.dtype != torch.float32):
                logits = self.network(self.preprocessing.normalize(floats))
            loss = functional.cross_entropy(
                logits, labels[start : start + self.part],
                reduction="sum", label_smoothing=self.settings.label_smoothing,
            ) / len(images)  # fmt: skip
            loss.backward()
            total += float(loss.detach())
        return total

    def _average(self, averaged: Tensors, weights: Tensors, count: torch.Tensor | int) -> None:
        """An exponential moving average; its decay grows to ``ema_decay``, so that the start is forgotten."""
        steps = int(count)
        decay = min(self.settings.ema_decay, (1 + steps) / (10 + steps))
        torch._foreach_lerp_(averaged, weights, 1 - decay)

    def features(self) -> dict[str, torch.Tensor]:
        """A copy of the averaged weights of ``Backbone.features``."""
        return {name: each.clone() for name, each in self.averaged.features.state_dict().items()}

    def state(self) -> dict[str, torch.Tensor]:
        """All that the next step depends on, but for its number."""
        tensors = {f"network/{name}": each for name, each in self.network.state_dict().items()}
        tensors |= {f"averaged/{name}": each for name, each in self.averaged.state_dict().items()}
        for name, parameter in self.network.named_parameters():
            if moments := self.optimizer.state[parameter]:  # none of what the features don't use
                tensors |= {f"{each}/{name}": moments[each] for each in MOMENTS}
        return tensors

    def resume(self, tensors: dict[str, torch.Tensor], step: int) -> None:
        """Continue with step number ``step`` from the `state` before it."""
        self.network.load_state_dict(under(tensors, "network"))
        self.averaged.load_state_dict(under(tensors, "averaged"))
        self.average.n_averaged.fill_(step)
        for name, parameter in self.network.named_parameters():
            if f"{MOMENTS[0]}/{name}" in tensors:
                moments = {each: tensors[f"{each}/{name}"].to(self.device) for each in MOMENTS}
                self.optimizer.state[parameter] = {"step": torch.tensor(float(step)), **moments}
        self.scheduler.load_state_dict({"last_epoch": step - 1, "_step_count": step})


def under(tensors: dict[str, torch.Tensor], name: str) -> dict[str, torch.Tensor]:
    """The tensors whose names begin with ``name``/, without that."""
    start = f"{name}/"
    return {key.removeprefix(start): each for key, each in tensors.items() if key.startswith(start)}
