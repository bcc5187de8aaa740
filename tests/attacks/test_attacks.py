"""The attacks on small random networks: their guarantees, and foolbox's attacks on the same networks."""

import math
from collections.abc import Callable
from typing import Any

import foolbox
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from pets.attacks.apgd import apgd, checkpoints, reference
from pets.attacks.deepfool import deepfool
from pets.attacks.fmn import fmn
from pets.attacks.objective import Misclassify, Objective, Smoothed, Values, canvas, cut
from pets.attacks.pgd import Norm, pgd, project, step_within
from pets.attacks.quantization import lengthen_and_quantize, quantize, quantize_l2
from pets.attacks.search import SearchResult

SIDE, CLASSES = 8, 4


def network(seed: int, classes: int = CLASSES) -> nn.Module:
    """A random network, smooth, in float64, and frozen as a backbone is."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers = nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1), nn.Tanh(), nn.Conv2d(6, 6, 3), nn.Tanh(), nn.Flatten(),
            nn.Linear(6 * (SIDE - 2) ** 2, classes),
        )  # fmt: skip
    return layers.double().requires_grad_(False)


def pictures(seed: int, count: int = 5) -> torch.Tensor:
    """Random pictures on the 256 levels of 8 bits, black and white included."""
    levels = np.random.default_rng(seed).integers(-30, 286, (count, 3, SIDE, SIDE)).clip(0, 255)
    return torch.from_numpy(levels).double() / 255


def against(model: nn.Module, images: torch.Tensor, targeted: bool = False) -> Misclassify:
    """Away from the present prediction, or towards the class after it."""
    labels = model(images).argmax(1)
    classes = (labels + 1) % CLASSES if targeted else labels
    return Misclassify(lambda each, rows: model(each).log_softmax(1), classes, targeted)


def by_pgd(norm: Norm) -> Callable[[Objective, torch.Tensor, float], SearchResult]:
    return lambda objective, images, epsilon: pgd(
        objective, images, norm=norm, epsilon=epsilon, step=epsilon / 3, steps=6, confidence=math.inf
    )  # fmt: skip


BOUNDED = {
    "pgd linf": ("linf", by_pgd("linf")),
    "pgd l2": ("l2", by_pgd("l2")),
    "apgd": (
        "linf",
        lambda objective, images, epsilon: reference(
            objective, images, epsilon=epsilon, steps=8, restarts=1, seed=0, confidence=math.inf
        ),
    ),
}
UNBOUNDED = {
    "descent": lambda objective, images: pgd(
        Smoothed(objective, [(SIDE, SIDE)] * len(images), 0.1), images,
        norm="l2", epsilon=math.inf, step=0.3, steps=8,
    ),
    "deepfool": lambda objective, images: deepfool(objective, images, 10),
    "fmn": lambda objective, images: fmn(objective, images, 10),
}  # fmt: skip


@pytest.mark.parametrize("name", BOUNDED)
@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    epsilon=st.sampled_from([0.0, 1 / 255, 0.02, 0.3, 1.0]),
    targeted=st.booleans(),
)
def test_nothing_leaves_the_ball_or_the_range(name: str, seed: int, epsilon: float, targeted: bool) -> None:
    model, images = network(seed), pictures(seed)
    norm, attack = BOUNDED[name]
    found = attack(against(model, images, targeted), images, epsilon)
    to_levels = quantize if norm == "linf" else quantize_l2
    saved = to_levels(found.images, images, epsilon)
    torch.testing.assert_close(255 * saved, (255 * saved).round())
    for each in (found.images, saved):
        change = (each - images).flatten(1)
        size = change.abs().amax(1) if norm == "linf" else change.norm(dim=1)
        assert size.max() <= epsilon + 1e-9
        assert each.min() >= 0
        assert each.max() <= 1


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), epsilon=st.sampled_from([0.05, 0.3, 1.0]))
def test_quantizing_in_the_l2_ball_shortens_no_change_more_than_it_must(seed: int, epsilon: float) -> None:
    images = pictures(seed)
    noise = torch.from_numpy(np.random.default_rng(seed).standard_normal(images.shape))
    inside = project(images + noise, images, "l2", epsilon)
    saved = quantize_l2(inside, images, epsilon)
    assert (255 * (saved - inside)).abs().max() < 1 + 1e-9  # no value by more than a level
    size = (saved - images).flatten(1).norm(dim=1)
    plain = (quantize(inside, images) - images).flatten(1).norm(dim=1)
    longest = 255 * (saved - images).flatten(1).abs().amax(1)  # the ball is filled but for one more level
    room = epsilon**2 - (2 * longest + 1) / 255**2
    assert (size**2 >= torch.minimum(plain**2, room) - 1e-9).all()


@pytest.mark.parametrize("name", UNBOUNDED)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_nothing_leaves_the_range(name: str, seed: int) -> None:
    model, images = network(seed), pictures(seed)
    objective = against(model, images)
    found = UNBOUNDED[name](objective, images)
    lasting = lengthen_and_quantize(objective, images, found, 0.0)
    for each in (found.images, lasting):
        assert each.min() >= 0
        assert each.max() <= 1
    levels = 255 * lasting
    torch.testing.assert_close(levels, levels.round())


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_the_margin_is_negative_where_the_network_is_fooled(seed: int) -> None:
    model, images = network(seed), pictures(seed)
    labels = model(images).argmax(1)
    found = pgd(against(model, images), images, norm="linf", epsilon=0.1, step=0.03, steps=10)
    assert torch.equal(found.fooled, model(found.images).argmax(1) != labels)
    aimed = pgd(against(model, images, True), images, norm="linf", epsilon=0.3, step=0.05, steps=20)
    assert torch.equal(aimed.fooled, model(aimed.images).argmax(1) == (labels + 1) % CLASSES)


def test_a_picture_that_is_done_is_not_computed_again() -> None:
    model, images = network(1), pictures(1)
    seen: list[int] = []
    plain = against(model, images)

    def counted(each: torch.Tensor, rows: torch.Tensor) -> Values:
        seen.append(len(rows))
        return plain(each, rows)

    found = pgd(counted, images, norm="linf", epsilon=0.3, step=0.02, steps=40)
    assert found.fooled.all()
    assert sum(seen) == int((found.steps + 1).sum())
    assert sum(seen) < len(images) * 41


@pytest.mark.parametrize("seed", range(4))
def test_pgd_and_fgsm_find_what_foolbox_finds(seed: int) -> None:
    model, images = network(seed).float(), pictures(seed, 12).float()
    labels = model(images).argmax(1)
    theirs = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")
    objective = Misclassify(lambda each, rows: model(each).log_softmax(1), labels, targeted=False)
    rows = torch.arange(len(images))
    for epsilon in (0.02, 0.06):
        _, fgsm, _ = foolbox.attacks.LinfFastGradientAttack(random_start=False)(
            theirs, images, labels, epsilons=epsilon
        )
        mine = pgd(
            objective, images, norm="linf", epsilon=epsilon, step=epsilon, steps=1, confidence=math.inf
        )
        moved = mine.steps == 1  # else the original itself has the lower margin
        assert moved.float().mean() > 0.8
        torch.testing.assert_close(mine.images[moved], fgsm[moved])
        pairs: list[tuple[Norm, Any]] = [
            ("linf", foolbox.attacks.LinfProjectedGradientDescentAttack),
            ("l2", foolbox.attacks.L2ProjectedGradientDescentAttack),
        ]
        for norm, attack in pairs:
            radius = epsilon if norm == "linf" else 10 * epsilon
            _, images_there, _ = attack(abs_stepsize=radius / 4, steps=10, random_start=False)(
                theirs, images, labels, epsilons=radius
            )
            mine = pgd(
                objective, images, norm=norm, epsilon=radius, step=radius / 4, steps=10, confidence=math.inf
            )
            assert (mine.margin <= objective(images_there, rows).margin + 1e-4).all()


def test_deepfool_equals_foolboxs_where_there_are_two_classes() -> None:
    model, images = network(3, classes=2).float(), pictures(3, 12).float()
    labels = model(images).argmax(1)
    _, there, fooled = foolbox.attacks.L2DeepFoolAttack(steps=30)(
        foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu"), images, labels, epsilons=None
    )
    objective = Misclassify(lambda each, rows: model(each).log_softmax(1), labels, targeted=False)
    mine = deepfool(objective, images, 30)
    assert fooled.all()
    assert mine.fooled.all()
    theirs, ours = ((each - images).flatten(1).norm(dim=1).median() for each in (there, mine.images))
    assert ours == pytest.approx(float(theirs), rel=0.05)


@pytest.mark.parametrize("seed", range(3))
def test_fmn_is_no_longer_than_foolboxs(seed: int) -> None:
    model, images = network(seed).float(), pictures(seed, 12).float()
    labels = model(images).argmax(1)
    _, there, fooled = foolbox.attacks.L2FMNAttack(steps=60)(
        foolbox.PyTorchModel(model.eval(), bounds=(0, 1), device="cpu"), images, labels, epsilons=None
    )
    mine = fmn(against(model, images), images, 60)
    assert fooled.all()
    assert mine.fooled.all()
    theirs, ours = ((each - images).flatten(1).norm(dim=1).median() for each in (there, mine.images))
    assert ours <= 1.02 * theirs


def test_fmn_finds_the_distance_to_a_plane() -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(3 * SIDE * SIDE, generator=generator, dtype=torch.float64)
    images = 0.3 + 0.4 * torch.rand(6, 3, SIDE, SIDE, generator=generator, dtype=torch.float64)
    offset = images.flatten(1) @ weight - torch.linspace(0.1, 1, 6, dtype=torch.float64) * weight.norm()

    def plane(each: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        score = each.flatten(1) @ weight - offset[rows]
        return torch.stack([score, torch.zeros_like(score)], 1).log_softmax(1)

    found = fmn(Misclassify(plane, torch.zeros(6, dtype=torch.int64), targeted=False), images, 60)
    distance = (found.images - images).flatten(1).norm(dim=1)
    torch.testing.assert_close(distance, torch.linspace(0.1, 1, 6, dtype=torch.float64), rtol=0.02, atol=0)


@pytest.mark.parametrize("seed", range(3))
def test_fmn_is_no_longer_than_deepfool(seed: int) -> None:
    model, images = network(seed), pictures(seed, 12)
    objective = against(model, images)
    ours, theirs = (
        (each.images - images).flatten(1).norm(dim=1)
        for each in (fmn(objective, images, 60), deepfool(objective, images, 60))
    )
    assert (ours <= 1.01 * theirs).all()


@pytest.mark.parametrize("seed", range(3))
def test_the_reference_is_at_least_as_strong_as_pgd(seed: int) -> None:
    model, images = network(seed), pictures(seed, 24)
    objective = against(model, images)
    for epsilon in (0.01, 0.02, 0.04):
        plain = pgd(objective, images, norm="linf", epsilon=epsilon, step=epsilon / 4, steps=20)
        strong = reference(objective, images, epsilon=epsilon, steps=20, restarts=0, seed=0)
        assert strong.fooled.sum() >= plain.fooled.sum()


def test_the_reference_has_the_checkpoints_of_its_paper() -> None:
    assert sorted(checkpoints(100))[:4] == [22, 41, 57, 70]


def test_progress_in_two_of_three_steps_is_too_little_at_the_first_checkpoint() -> None:
    """With ten steps it is at the third, where the paper requires progress in three quarters."""
    losses, signs = iter([5.0, 4.0, 3.0, *[3.5] * 9]), iter([1, 1, *[-1] * 10])
    seen: list[float] = []

    def scripted(images: torch.Tensor, rows: torch.Tensor) -> Values:
        seen.append(float((images - 0.5).mean()))
        loss = next(losses) + next(signs) * (images - images.detach()).flatten(1).sum(1)
        return Values(loss, torch.ones(1), torch.ones(1))

    picture = torch.full((1, 3, 2, 2), 0.5)
    apgd(scripted, picture, picture, epsilon=0.1, steps=10, by="loss")
    assert seen[:4] == pytest.approx([0, -0.1, -0.1, 0.05])
    assert seen[4] == pytest.approx(-0.025)  # from the best image again, with half the step


def test_an_image_with_a_non_finite_loss_is_stopped_and_the_others_go_on() -> None:
    model, images = network(5), pictures(5)
    plain = against(model, images)

    def broken(each: torch.Tensor, rows: torch.Tensor) -> Values:
        values = plain(each, rows)
        return values._replace(loss=values.loss + torch.where(rows == 2, torch.nan, 0.0))

    for found in (
        pgd(broken, images, norm="linf", epsilon=0.3, step=0.05, steps=20),
        reference(broken, images, epsilon=0.3, steps=10, restarts=0, seed=0),
        deepfool(broken, images, 20),
        fmn(broken, images, 20),
    ):
        assert found.non_finite.tolist() == [False, False, True, False, False]
        assert found.fooled[[0, 1, 3, 4]].all()
        torch.testing.assert_close(found.images[2], images[2])


def test_steps_in_whole_levels_lose_nothing_when_saved() -> None:
    model, images = network(6), pictures(6)
    for levels in (1, 2, 4, 8):
        epsilon = levels / 255
        found = pgd(
            against(model, images), images, norm="linf", epsilon=epsilon, step=step_within(epsilon), steps=9
        )
        torch.testing.assert_close(quantize(found.images, images, epsilon), found.images)


def test_a_canvas_gives_its_pictures_back() -> None:
    several = [torch.rand(3, 5, 7), torch.rand(3, 9, 4)]
    images, sizes = canvas(several)
    assert images.shape == (2, 3, 9, 7)
    for rows in (None, torch.tensor([0, 1])):
        assert all(torch.equal(a, b) for a, b in zip(cut(images, sizes, rows), several, strict=True))
