import pandas as pd
import torch

from stages.attack import side_by_side
from stages.attacks.found import Found
from stages.attacks.objective import Objective
from stages.attacks.robustness import Attacker, attackers, curve
from stages.pictures.attack import by_attack
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


def test_the_page_reads_what_stands_side_by_side_for_dvcs_plots() -> None:
    curve = pd.DataFrame(
        {
            "attack": ["PGD", "PGD", "APGD", "APGD"],
            "epsilon": [0.0, 0.1] * 2,
            "images": 9,
            "robust": [1.0, 0.5, 1.0, 0.4],
            "low": [0.8, 0.3, 0.8, 0.2],
            "given_up": [0, 1, 0, 2],
        }
    )
    table = side_by_side(curve)
    assert list(table["PGD"]) == [1.0, 0.5]  # one line a column
    assert list(table["APGD"]) == [1.0, 0.4]
    pd.testing.assert_frame_equal(by_attack(table), curve, check_like=True)
