"""Robust accuracy, on a tiny classifier."""

from dataclasses import replace

import pytest
import torch

from pets.attacks.objective import Objective
from pets.attacks.robustness import Attacker, attackers, curve
from pets.attacks.search import SearchResult
from pets.engines import memory
from tests.classifier.tiny import pictures, tiny_classifier


def test_an_image_with_a_non_finite_loss_is_not_robust() -> None:
    """This attack changes nothing, and has a non-finite loss on one of four pictures."""

    def idle(objective: Objective, originals: torch.Tensor, epsilon: float) -> SearchResult:
        found = SearchResult.initial(originals)
        found.non_finite[1:2] = len(originals) > 1
        return found

    classifier, images = tiny_classifier(), pictures(4)
    labels = classifier.probabilities(images).argmax(1)
    rows = curve(classifier, images, labels, torch.ones(4, dtype=torch.bool), [0.01], [Attacker("PGD", idle)])
    assert rows["robust"].tolist() == [1.0, 0.75]
    assert rows["saved"].tolist() == [1.0, 0.75]
    assert rows["non_finite"].tolist() == [0, 1]


def test_the_second_attack_is_run_only_on_what_survived_the_first() -> None:
    classifier, images = tiny_classifier(), pictures(8)
    labels = classifier.probabilities(images).argmax(1)
    tried: list[int] = []

    def strong(objective: Objective, originals: torch.Tensor, epsilon: float) -> SearchResult:
        tried.append(len(originals))
        return SearchResult.initial(originals)

    weak, _ = attackers(steps=10, reference_steps=1, restarts=0, seed=0)
    both = [weak, Attacker("APGD", strong)]
    rows = curve(classifier, images, labels, torch.ones(8, dtype=torch.bool), [0.15, 0.2], both)
    plain, reference = (part for _, part in rows.groupby("attack", sort=False))
    left = (8 * plain["robust"]).round().astype(int).tolist()
    assert 8 > left[1] > left[2] > 0
    assert tried == left[1:]
    assert reference["robust"].tolist() == plain["robust"].tolist()


@pytest.mark.parametrize("sharpness", [1.0, 100.0, 1e4])
def test_pgd_fools_a_classifier_however_certain_it_is(sharpness: float) -> None:
    """A low temperature, or large weights, change no decision: neither may they hide the way to another."""
    mild = tiny_classifier()
    images = pictures(8)
    labels = mild.probabilities(images).argmax(1)
    attack = attackers(steps=10, reference_steps=1, restarts=0, seed=0)[:1]
    tensors = mild.head.tensors | {"weight": mild.head.tensors["weight"] * sharpness}
    calibration = replace(mild.head.calibration, temperature=1 / sharpness)
    for head in (replace(mild.head, tensors=tensors), replace(mild.head, calibration=calibration)):
        certain = replace(mild, head=head)
        rows = curve(certain, images, labels, torch.ones(8, dtype=torch.bool), [0.15, 0.2, 0.5], attack)
        _, first, second, last = rows["robust"]
        assert 1 > first > second > last == 0


def test_what_was_fooled_once_counts_as_fooled_at_larger_epsilons() -> None:
    """The first of four pictures has a non-finite loss at the first epsilon only."""
    epsilons: list[float] = []

    def once(objective: Objective, originals: torch.Tensor, epsilon: float) -> SearchResult:
        found = SearchResult.initial(originals)
        found.non_finite[0] = not epsilons
        epsilons.append(epsilon)
        return found

    classifier, images = tiny_classifier(), pictures(4)
    labels = classifier.probabilities(images).argmax(1)
    rows = curve(
        classifier, images, labels, torch.ones(4, dtype=torch.bool), [0.02, 0.01], [Attacker("PGD", once)]
    )
    assert epsilons == [0.01, 0.02]
    assert rows["robust"].tolist() == rows["saved"].tolist() == [1.0, 0.75, 0.75]
    assert rows["non_finite"].tolist() == [0, 1, 0]


def test_pictures_of_many_sizes_in_many_batches_are_fooled_as_they_are_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    classifier = tiny_classifier()
    images = [picture[:, : 16 - number % 3, : 16 - number % 2] for number, picture in enumerate(pictures(9))]
    labels = classifier.probabilities(images).argmax(1)
    clean = torch.ones(9, dtype=torch.bool)
    both = attackers(steps=10, reference_steps=10, restarts=0, seed=0)
    monkeypatch.setattr(memory, "PIXELS", 3 * 16 * 16)
    together = curve(classifier, images, labels, clean, [0.15, 0.2], both)
    alone = [
        curve(classifier, [image], label[None], clean[:1], [0.15, 0.2], both)
        for image, label in zip(images, labels, strict=True)
    ]
    for column in ("robust", "saved"):
        assert together[column].tolist() == pytest.approx(sum(each[column] for each in alone) / 9)
    assert 0 < together["robust"].iloc[1] < 1
