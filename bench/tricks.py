"""Runs of the table of tricks side by side, against the same runs one by one, in plain PyTorch."""

import torch
from torch import nn
from torch.nn import functional

from bench.table import compare
from pets.heads import Examples
from pets.tricks.catalogue import BY_NAME, combined
from pets.tricks.recipe import Recipe
from pets.tricks.training import Data, Plan, Variant, train

# The official Pets' images of each split, Lite0's features.
TRAIN, VALIDATION, DIMENSIONS, CLASSES = 2944, 736, 1280, 37
NAMES = ("zeros", "he", "clipping", "cosine", "one_cycle", "label_smoothing", "weight_decay", "averaging")
SEEDS = 5
PLAN = Plan(epochs=3, batch_size=128, hidden=64, seed=7)
RATE = 0.3


def main() -> None:
    generator = torch.Generator().manual_seed(0)
    means = torch.randn(CLASSES, DIMENSIONS, generator=generator)

    def examples(images: int) -> Examples:
        labels = torch.arange(images) % CLASSES
        noise = torch.randn(images, DIMENSIONS, generator=generator)
        return Examples((0.25 * means[labels] + noise).relu(), labels)

    data = Data(examples(TRAIN), examples(VALIDATION), examples(CLASSES), CLASSES)
    for network in ("linear", "mlp"):
        plain = Recipe(network)
        variants = [Variant(combined(plain, [BY_NAME[name]]), RATE) for name in NAMES]

        def ours(variants: list[Variant] = variants) -> None:
            train(variants, range(SEEDS), data, PLAN, test=False)

        def instead(network: str = network) -> None:
            for _ in range(len(NAMES) * SEEDS):
                one_by_one(network, data)

        compare(f"{len(NAMES) * SEEDS} trainings side by side, {network}", ours, instead, pairs=1)


def one_by_one(network: str, data: Data) -> None:
    """One training as anyone would write it; which of the tricks hardly matters for the time."""
    hidden = [nn.Linear(DIMENSIONS, PLAN.hidden), nn.ReLU()] if network == "mlp" else []
    model = nn.Sequential(*hidden, nn.Linear(PLAN.hidden if hidden else DIMENSIONS, CLASSES))
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
    for _ in range(PLAN.epochs):
        for rows in torch.randperm(TRAIN)[: TRAIN // PLAN.batch_size * PLAN.batch_size].split(
            PLAN.batch_size
        ):
            loss = functional.cross_entropy(model(data.train.features[rows]), data.train.labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            for features in (data.validation.features, data.train.features[:400]):
                model(features)


if __name__ == "__main__":
    main()
