import torch

from stages.attacks.found import Found
from stages.attacks.objective import Objective
from stages.attacks.robustness import Attacker, curve
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
