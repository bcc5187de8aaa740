"""Attacks on photographs of dogs: they succeed after saving, and the changes are small."""

from collections.abc import Callable, Iterator
from pathlib import Path

import foolbox
import numpy as np
import pandas as pd
import pytest
import torch

from pets.attacks import gallery, robustness
from pets.attacks.fmn import fmn
from pets.attacks.goals import Goal, choose_goals
from pets.attacks.methods import methods
from pets.attacks.objective import canvas, cut, grouped, misclassify, total_variation
from pets.attacks.pictures import classes_of, read_pictures
from pets.attacks.settings import Settings
from pets.classifier.classifier import Classifier, load
from pets.core import params
from pets.dataset import Dataset
from pets.embeddings import store
from tests.conftest import ROOT, Workspace

DATASET, BACKBONE = "oxford-iiit-pet", "efficientnet_lite0"
DOGS = 100


@pytest.fixture(scope="module")
def folder(reported: Workspace) -> Iterator[Path]:
    """Lite0 and the linear head, trained on the subset's photographs: the working folder."""
    workspace = reported
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(workspace.path)
        yield workspace.path


@pytest.fixture(scope="module")
def classifier(folder: Path) -> Classifier:
    return load(Dataset(DATASET).model(BACKBONE, "linear"), ROOT / "weights", "cpu")


@pytest.fixture(scope="module")
def images(folder: Path) -> pd.DataFrame:
    return Dataset(DATASET).shuffled("test", seed=7)


@pytest.fixture(scope="module")
def settings() -> Settings:
    """As committed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        return params.read("attack", Settings)


def probabilities(classifier: Classifier, images: pd.DataFrame) -> np.ndarray:
    vectors = store.read(Dataset(DATASET).embeddings(BACKBONE)).vectors_of(images["image_id"])
    return classifier.head.probabilities(torch.from_numpy(vectors)).numpy()


def dogs_to_cats(classifier: Classifier, images: pd.DataFrame, count: int) -> Goal:
    return choose_goals(images, probabilities(classifier, images), classifier.classes, count)[0]


def pictures(images: pd.DataFrame) -> list[torch.Tensor]:
    return read_pictures(images, Dataset(DATASET).raw)


def test_a_hundred_dogs_are_cats_after_saving_and_reading_again(
    classifier: Classifier, images: pd.DataFrame, settings: Settings, tmp_path: Path
) -> None:
    dogs = dogs_to_cats(classifier, images, DOGS)
    assert len(dogs.images) == DOGS
    assert dogs.images["label"].nunique() == 25  # every breed of dog
    pgd = methods(settings.model_copy(update={"epsilon": 4 / 255, "steps": 40}))[:1]
    raw = Dataset(DATASET).raw
    outcomes = gallery.attack(classifier, dogs, pgd, raw, tmp_path, lambda done: None)
    facts = pd.DataFrame([each.facts for each in outcomes])
    assert facts["fooled"].mean() >= 0.99
    assert facts["levels"].max() <= 4


def test_robust_accuracy_falls_and_the_reference_agrees(classifier: Classifier, images: pd.DataFrame) -> None:
    """Each epsilon and each attack on its own, so that nothing falls or agrees by construction."""
    chosen = images.head(8)
    labels = classes_of(chosen, classifier.classes)
    clean = torch.from_numpy(probabilities(classifier, chosen)).argmax(1) == labels
    attackers = robustness.attackers(steps=10, reference_steps=10, restarts=0, seed=7)
    epsilons = [0.25 / 255, 0.5 / 255, 1 / 255]
    plain, reference = (
        [
            robustness.curve(classifier, pictures(chosen), labels, clean, [epsilon], [attacker]).iloc[-1]
            for epsilon in epsilons
        ]
        for attacker in attackers
    )
    falling = [each["robust"] for each in plain]
    assert float(clean.double().mean()) > falling[0] > falling[1] >= falling[2]
    assert falling[-1] == 0  # an undefended classifier
    for one, other in zip(plain, reference, strict=True):
        assert one["low"] <= other["robust"] <= one["robust"] + 1 / len(chosen)


@pytest.mark.parametrize("other", ["foolbox", "torchattacks"])
def test_fmns_change_is_no_larger_than_other_libraries_deepfools(
    classifier: Classifier, images: pd.DataFrame, other: str
) -> None:
    """Eight dogs into cats, medians of L2."""
    if other == "torchattacks":
        pytest.importorskip(
            other, reason="torchattacks pins old packages: pip install --no-deps torchattacks"
        )
    dogs = dogs_to_cats(classifier, images, 8)
    cat, dog = (dogs.names.index(name) for name in ("cat", "dog"))

    originals, sizes = canvas(pictures(dogs.images))
    cats = torch.full((len(originals),), cat)
    found = fmn(misclassify(classifier, sizes, cats, targeted=True, groups=dogs.groups), originals, 20)
    assert found.fooled.all()

    theirs = deepfool_of(other, Species(classifier, dogs.groups).eval())
    lengths = []
    for picture in cut(originals, sizes):  # one by one, since they require pictures of one size
        result = theirs(picture[None], torch.tensor([dog]))
        assert grouped(classifier.log_probabilities(result), dogs.groups).argmax() == cat
        lengths.append(float((result[0] - picture).norm()))
    ours = (found.images - originals).flatten(1).norm(dim=1)
    print(f"median L2 {float(ours.median()):.3f}, {other}'s DeepFool {np.median(lengths):.3f}")
    assert float(ours.median()) <= np.median(lengths)


def test_total_variation_makes_the_result_of_gradient_descent_smoother(
    classifier: Classifier, images: pd.DataFrame, settings: Settings
) -> None:
    """With the weight in params.yaml, four dogs are smoother after the attack than before, and are cats."""
    dogs = dogs_to_cats(classifier, images, 4)
    originals, sizes = canvas(pictures(dogs.images))
    cats = torch.full((4,), dogs.names.index("cat"))
    objective = misclassify(classifier, sizes, cats, targeted=True, groups=dogs.groups)
    rough, smooth = (
        methods(settings.model_copy(update={"total_variation": weight}))[3].search(
            objective, originals, sizes
        )
        for weight in (0.0, settings.total_variation)
    )
    assert smooth.fooled.all()
    before, without, after = (
        [float(total_variation(each)) for each in cut(images, sizes)]
        for images in (originals, rough.images, smooth.images)
    )
    for original, plain, smoothed in zip(before, without, after, strict=True):
        assert smoothed < original < plain


class Species(torch.nn.Module):
    """The log-probabilities of the species, by the whole classifier."""

    def __init__(self, classifier: Classifier, groups: torch.Tensor) -> None:
        super().__init__()
        self.classifier, self.groups = classifier, groups

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return grouped(self.classifier.log_probabilities(pictures), self.groups)


def deepfool_of(other: str, model: torch.nn.Module) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """Another library's DeepFool: pictures [1, 3, height, width] and labels [1] to adversarial pictures."""
    if other == "torchattacks":
        import torchattacks

        return torchattacks.DeepFool(model, steps=20)
    attack = foolbox.attacks.L2DeepFoolAttack(steps=20, candidates=2)
    bounded = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")
    return lambda pictures, labels: attack(bounded, pictures, labels, epsilons=None)[1]
