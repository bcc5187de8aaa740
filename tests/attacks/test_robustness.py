import pytest
import torch

from stages.attacks import parts
from stages.attacks.found import Found
from stages.attacks.objective import Objective
from stages.attacks.robustness import Attacker, attackers, curve
from tests.attacks.tiny import pictures, victim


def test_a_picture_that_was_given_up_is_not_robust() -> None:
    """Here the attack changes nothing, and gives one of four pictures up."""

    def idle(objective: Objective, originals: torch.Tensor, epsilon: float) -> Found:
        found = Found.start(originals)
        found.given_up[1:2] = len(originals) > 1
        return found

    of, images = victim(), pictures(4)
    labels = of.before_saving(images).argmax(1)
    rows = curve(of, images, labels, torch.ones(4, dtype=torch.bool), [0.01], [Attacker("PGD", idle)])
    assert rows["robust"].tolist() == [1.0, 0.75]
    assert rows["saved"].tolist() == [1.0, 0.75]
    assert rows["given_up"].tolist() == [0, 1]


def test_the_second_attack_only_tries_what_the_first_left() -> None:
    of, images = victim(), pictures(8)
    labels = of.before_saving(images).argmax(1)
    tried: list[int] = []

    def strong(objective: Objective, originals: torch.Tensor, epsilon: float) -> Found:
        tried.append(len(originals))
        return Found.start(originals)

    weak, _ = attackers(steps=10, reference_steps=1, restarts=0, seed=0)
    both = [weak, Attacker("APGD", strong)]
    rows = curve(of, images, labels, torch.ones(8, dtype=torch.bool), [0.15, 0.2], both)
    plain, reference = (part for _, part in rows.groupby("attack", sort=False))
    left = (8 * plain["robust"]).round().astype(int).tolist()
    assert 8 > left[1] > left[2] > 0
    assert tried == left[1:]
    assert reference["robust"].tolist() == plain["robust"].tolist()


def test_what_broke_once_stays_broken() -> None:
    """The first of four pictures is given up at the first epsilon alone."""
    epsilons: list[float] = []

    def once(objective: Objective, originals: torch.Tensor, epsilon: float) -> Found:
        found = Found.start(originals)
        found.given_up[0] = not epsilons
        epsilons.append(epsilon)
        return found

    of, images = victim(), pictures(4)
    labels = of.before_saving(images).argmax(1)
    rows = curve(of, images, labels, torch.ones(4, dtype=torch.bool), [0.02, 0.01], [Attacker("PGD", once)])
    assert epsilons == [0.01, 0.02]
    assert rows["robust"].tolist() == rows["saved"].tolist() == [1.0, 0.75, 0.75]
    assert rows["given_up"].tolist() == [0, 1, 0]


def test_pictures_of_many_sizes_in_many_parts_break_as_they_do_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    of = victim()
    images = [picture[:, : 16 - number % 3, : 16 - number % 2] for number, picture in enumerate(pictures(9))]
    labels = of.before_saving(images).argmax(1)
    clean = torch.ones(9, dtype=torch.bool)
    both = attackers(steps=10, reference_steps=10, restarts=0, seed=0)
    monkeypatch.setattr(parts, "PIXELS", 3 * 16 * 16)
    together = curve(of, images, labels, clean, [0.15, 0.2], both)
    alone = [
        curve(of, [image], label[None], clean[:1], [0.15, 0.2], both)
        for image, label in zip(images, labels, strict=True)
    ]
    for column in ("robust", "saved"):
        assert together[column].tolist() == pytest.approx(sum(each[column] for each in alone) / 9)
    assert 0 < together["robust"].iloc[1] < 1
