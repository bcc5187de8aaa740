"""Multilayer perceptron: one hidden layer of GELUs with dropout on standardized features, by AdamW.

Training stops early, at the epoch with the best validation log-likelihood.

Loshchilov, Hutter: Decoupled weight decay regularization, ICLR 2019.
"""

from collections.abc import Iterator
from typing import Any

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import nn
from torch.nn import functional

from pets.core.params import Section
from pets.heads import Examples, Trial

PATIENCE = 10  # epochs without a better validation log-likelihood


class Settings(Section):
    """The section ``train.mlp`` of params.yaml."""

    hidden: list[PositiveInt] = Field(min_length=1)
    learning_rate: PositiveFloat
    weight_decay: float = Field(ge=0)
    dropout: float = Field(ge=0, lt=1)
    batch_size: PositiveInt
    max_epochs: PositiveInt


def trials(
    train: Examples, validation: Examples, classes: int, settings: Settings, seed: int
) -> Iterator[Trial]:
    """One trial for each hidden size, each at its best epoch."""
    fixed = settings.model_dump(exclude={"hidden", "max_epochs"})
    for hidden in settings.hidden:
        setting = fixed | {"hidden": hidden}
        best, epochs, chosen = float("inf"), 0, None
        for epoch, tensors in enumerate(_epochs(train, classes, setting, seed), start=1):
            found = logits(tensors, validation.features)
            loss = float(functional.cross_entropy(found, validation.labels))
            if loss < best:
                best, epochs, chosen = loss, epoch, tensors
            if epoch == settings.max_epochs or epoch - epochs >= PATIENCE:
                break
        assert chosen is not None
        yield Trial(setting | {"epochs": epochs}, chosen)


def fit(examples: Examples, classes: int, setting: dict[str, Any], seed: int) -> dict[str, torch.Tensor]:
    """Trained for the number of epochs that validation found best."""
    for epoch, tensors in enumerate(_epochs(examples, classes, setting, seed), start=1):
        if epoch == setting["epochs"]:
            return tensors
    raise AssertionError("epochs do not end")


def logits(tensors: dict[str, torch.Tensor], features: torch.Tensor) -> torch.Tensor:
    """See `Head.logits`."""
    standardized = (features - tensors["mean"]) / tensors["std"]
    hidden = functional.gelu(functional.linear(standardized, tensors["0.weight"], tensors["0.bias"]))
    return functional.linear(hidden, tensors["3.weight"], tensors["3.bias"])


def _epochs(
    examples: Examples, classes: int, setting: dict[str, Any], seed: int
) -> Iterator[dict[str, torch.Tensor]]:
    """Train without end and yield the tensors after each epoch."""
    device = examples.features.device
    mean, std = examples.features.mean(0), examples.features.std(0).clamp_min(1e-6)
    standardized = (examples.features - mean) / std
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        network = nn.Sequential(
            nn.Linear(standardized.shape[1], setting["hidden"]),
            nn.GELU(),
            nn.Dropout(setting["dropout"]),
            nn.Linear(setting["hidden"], classes),
        ).to(device)
        optimizer = torch.optim.AdamW(
            network.parameters(),
            lr=setting["learning_rate"],
            weight_decay=setting["weight_decay"],
            fused=True,  # one pass over the weights a step, not a dozen
        )
        while True:
            for rows in torch.randperm(len(examples), device=device).split(setting["batch_size"]):
                loss = functional.cross_entropy(network(standardized[rows]), examples.labels[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            state = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
            yield {"mean": mean, "std": std, **state}
