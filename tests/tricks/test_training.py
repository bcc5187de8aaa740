"""Runs side by side against the same runs one by one, and against plain PyTorch."""

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from pets.heads import Examples
from pets.tricks.catalogue import BY_NAME, TRICKS, combined
from pets.tricks.recipe import Recipe
from pets.tricks.training import Data, Plan, Variant, chunks, train

CLASSES, DIMENSIONS = 3, 12
PLAN = Plan(epochs=4, batch_size=16, hidden=10, seed=7)


def examples(images: int, seed: int) -> Examples:
    """Noisy directions, one for each class, off the origin as features after a ReLU are."""
    random = np.random.default_rng(seed)
    labels = random.integers(CLASSES, size=images)
    features = 0.5 + np.eye(CLASSES, DIMENSIONS)[labels] + 0.7 * random.normal(size=(images, DIMENSIONS))
    return Examples(torch.tensor(features, dtype=torch.float32), torch.tensor(labels))


DATA = Data(examples(70, 0), examples(40, 1), examples(50, 2), CLASSES)


def variants() -> list[Variant]:
    """Plain, every trick alone, and many together, on both networks."""
    together = [BY_NAME[name] for name in (
        "he", "standardized", "adamw", "one_cycle", "batch_norm", "clipping", "dropout", "label_smoothing",
        "mixup", "early_stopping", "averaging",
    )]  # fmt: skip
    recipes = [
        combined(plain, tricks)
        for plain in (Recipe(), Recipe("mlp"))
        for tricks in ([], together, *([each] for each in TRICKS))
    ]
    return [Variant(recipe, 0.01 if recipe.optimizer.startswith("adam") else 0.1) for recipe in recipes]


def test_the_table_is_the_same_runs_made_one_by_one() -> None:
    table, seeds = variants(), [0, 1, 2]
    assert max(len(places) * len(some) for places, some in chunks(table, seeds)) > 20
    for variant, together in zip(table, train(table, seeds, DATA, PLAN, test=True), strict=True):
        for place, seed in enumerate(seeds):
            (alone,) = train([variant], [seed], DATA, PLAN, test=True)
            torch.testing.assert_close(alone.losses[0], together.losses[place], atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(alone.correct[0], together.correct[place])
            assert alone.epoch[0] == together.epoch[place]


def by_pytorch(
    recipe: Recipe, rate: float, scheduler: Any = None, epochs: int = PLAN.epochs, **settings: Any
) -> list[nn.Sequential]:
    """The network after each epoch of one run, as anyone would write it, from our first weights."""
    first, order = (_draws(purpose) for purpose in (0, 1))
    layers = [nn.Linear(DIMENSIONS, CLASSES)]
    if recipe.network == "mlp":
        layers = [nn.Linear(DIMENSIONS, PLAN.hidden), nn.Linear(PLAN.hidden, CLASSES)]
    for layer in layers:
        with torch.no_grad():
            layer.weight.copy_(
                (2 * torch.rand(layer.weight.shape, generator=first) - 1) / layer.in_features**0.5
            )
            layer.bias.zero_()
    if recipe.batch_norm:
        layers[0].bias.requires_grad_(False)  # as good as none
    norm = [nn.BatchNorm1d(PLAN.hidden)] if recipe.batch_norm else []
    network = nn.Sequential(layers[0], *([*norm, nn.ReLU(), layers[1]] if layers[1:] else []))
    kinds: dict[str, Any] = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    trained = [each for each in network.parameters() if each.requires_grad]
    optimizer = kinds[recipe.optimizer](trained, lr=rate, **settings)
    steps = len(DATA.train) // PLAN.batch_size
    schedule = scheduler(optimizer, steps * epochs) if scheduler else None
    networks = []
    for _ in range(epochs):
        rows = torch.randperm(len(DATA.train), generator=order)
        for step in range(steps):
            batch = rows[step * PLAN.batch_size : (step + 1) * PLAN.batch_size]
            logits, labels = network(DATA.train.features[batch]), DATA.train.labels[batch]
            loss = functional.cross_entropy(logits, labels, label_smoothing=recipe.label_smoothing)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), recipe.clip)
            optimizer.step()
            if schedule:
                schedule.step()
        networks.append(copy.deepcopy(network).eval())
    return networks


def _draws(purpose: int) -> torch.Generator:
    seed = int(np.random.SeedSequence((PLAN.seed, purpose, 0)).generate_state(1, np.uint64)[0] >> 1)
    return torch.Generator().manual_seed(seed)


def losses_of(networks: Sequence[nn.Module]) -> list[float]:
    """On validation."""
    with torch.no_grad():
        logits = [network(DATA.validation.features) for network in networks]
    return [float(functional.cross_entropy(each, DATA.validation.labels)) for each in logits]


def one_cycle(optimizer: torch.optim.Optimizer, steps: int) -> Any:
    peak = optimizer.param_groups[0]["lr"]
    return torch.optim.lr_scheduler.OneCycleLR(optimizer, peak, total_steps=steps, cycle_momentum=False)


def cosine(optimizer: torch.optim.Optimizer, steps: int) -> Any:
    return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)


def in_steps(optimizer: torch.optim.Optimizer, steps: int) -> Any:
    return torch.optim.lr_scheduler.MultiStepLR(optimizer, [steps // 2, steps * 3 // 4])


CASES: dict[str, tuple[Recipe, float, Any, dict[str, Any]]] = {
    "plain": (Recipe(), 0.5, None, {}),
    "mlp": (Recipe("mlp"), 0.5, None, {}),
    "batch norm": (Recipe("mlp", batch_norm=True), 0.5, None, {}),
    "momentum": (Recipe(momentum=0.9), 0.1, None, {"momentum": 0.9}),
    "nesterov": (Recipe(momentum=0.9, nesterov=True), 0.1, None, {"momentum": 0.9, "nesterov": True}),
    "weight decay": (Recipe(weight_decay=0.1), 0.5, None, {"weight_decay": 0.1}),
    "clipping": (Recipe(clip=0.2), 0.5, None, {}),
    "label smoothing": (Recipe(label_smoothing=0.1), 0.5, None, {}),
    "Adam": (Recipe(optimizer="adam"), 0.05, None, {}),
    "Adam and L2": (Recipe(optimizer="adam", weight_decay=0.1), 0.05, None, {"weight_decay": 0.1}),
    "AdamW": (Recipe(optimizer="adamw", weight_decay=0.1), 0.05, None, {"weight_decay": 0.1}),
    "steps": (Recipe(schedule="step"), 0.5, in_steps, {}),
    "cosine": (Recipe(schedule="cosine"), 0.5, cosine, {}),
    "one cycle": (Recipe(schedule="one_cycle"), 0.5, one_cycle, {}),
}


@pytest.mark.parametrize("case", CASES)
def test_a_run_is_the_one_of_pytorchs_own_optimizer(case: str) -> None:
    recipe, rate, scheduler, settings = CASES[case]
    expected = losses_of(by_pytorch(recipe, rate, scheduler, **settings))
    # Beside others, whose settings must not leak into it.
    beside = Variant(replace(recipe, clip=0.01, weight_decay=0.5, label_smoothing=0.3), rate / 3)
    found = train([beside, Variant(recipe, rate)], [0], DATA, PLAN, test=False)[-1]
    np.testing.assert_allclose(found.losses[0, :, 1], expected, atol=1e-5)


def test_early_stopping_takes_the_weights_with_the_lowest_validation_loss() -> None:
    networks = by_pytorch(recipe := Recipe("mlp"), rate := 2.0)
    losses = losses_of(networks)
    best = int(np.argmin(losses))
    assert best < PLAN.epochs - 1
    variants = [Variant(recipe, rate), Variant(replace(recipe, early_stopping=True), rate)]
    plain, stopped = train(variants, [0], DATA, PLAN, test=True)
    assert (int(plain.epoch), int(stopped.epoch)) == (PLAN.epochs, best + 1)
    for found, network in ((plain, networks[-1]), (stopped, networks[best])):
        right = network(DATA.test.features).argmax(1) == DATA.test.labels
        torch.testing.assert_close(found.correct[0], right)
        right = network(DATA.validation.features).argmax(1) == DATA.validation.labels
        assert float(found.accuracy) == pytest.approx(float(right.float().mean()))
    assert not torch.equal(plain.correct, stopped.correct)


def test_weight_averaging_takes_the_mean_of_the_second_half() -> None:
    networks = by_pytorch(Recipe(), 2.0, epochs=6)
    half = [each.state_dict() for each in networks[3:]]
    mean = copy.deepcopy(networks[-1])
    mean.load_state_dict({name: sum(each[name] for each in half) / 3 for name in half[0]})
    variants = [Variant(Recipe(averaging=True), 2.0), Variant(Recipe(), 2.0)]
    found = train(variants, [0], DATA, replace(PLAN, epochs=6), test=False)
    assert float(found[0].losses[0, -1, 1]) == pytest.approx(losses_of([mean])[0], abs=1e-5)
    assert float(found[1].losses[0, -1, 1]) == pytest.approx(losses_of(networks)[-1], abs=1e-5)


def test_a_run_whose_loss_is_not_finite_is_marked_and_the_others_go_on() -> None:
    exploding = Variant(Recipe("mlp", momentum=0.9), 1e30)
    fine = Variant(Recipe("mlp", momentum=0.9), 0.1)
    broken, beside = train([exploding, fine], [0, 1], DATA, PLAN, test=True)
    (alone,) = train([fine], [0, 1], DATA, PLAN, test=True)
    assert not broken.finite.any()
    assert beside.finite.all()
    torch.testing.assert_close(beside.losses, alone.losses, atol=1e-5, rtol=1e-5)


def test_dropout_leaves_out_its_share_and_mixup_blends_labels_as_images() -> None:
    """Seen by their effect: what the network learns to say of images that never come alone."""
    big = Data(examples(400, 0), DATA.validation, DATA.test, CLASSES)
    plan = Plan(epochs=30, batch_size=50, hidden=10, seed=7)
    recipes = [Recipe(), Recipe(dropout=0.5), Recipe(mixup=5.0)]
    plain, dropped, mixed = train([Variant(each, 1.0) for each in recipes], [0, 1], big, plan, test=False)
    last = [float(each.losses[:, -1, 0].mean()) for each in (plain, dropped, mixed)]
    assert last[0] < min(last[1:])
