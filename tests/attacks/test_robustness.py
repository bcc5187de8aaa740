import torch

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
    tried = []

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
