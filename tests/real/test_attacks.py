"""Real dogs into cats: that an attack still holds once the picture is saved, and that it is a small one."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import foolbox
import numpy as np
import pandas as pd
import pytest
import torch

from stages import attack as door
from stages import params
from stages.attacks import gallery, robustness
from stages.attacks.classifier import grouped
from stages.attacks.objective import canvas, cut, total_variation
from stages.attacks.smallest import smallest
from stages.attacks.victim import Victim, load
from stages.embeddings import store
from tests.conftest import ROOT, Workspace

DATASET, BACKBONE = "oxford-iiit-pet", "efficientnet_lite0"
DOGS = 100


@pytest.fixture(scope="module")
def workspace(shared: Path, new_workspace: Callable[[], Workspace]) -> Workspace:
    """Lite0 and the linear head on the subset's photographs."""
    workspace = new_workspace()
    archives = {
        each: shared / "oxford-iiit-pet-subset" / f"{each}.tar.gz" for each in ("images", "annotations")
    }
    workspace.set_params(
        f"run.backbones=[{BACKBONE}]",
        "run.heads=[linear]",
        *(f"datasets.{DATASET}.{each}.url={file}" for each, file in archives.items()),
        *(
            f"datasets.{DATASET}.{each}.md5={hashlib.md5(file.read_bytes()).hexdigest()}"
            for each, file in archives.items()
        ),
    )
    workspace.run("dvc", "repro", "train")
    return workspace


@pytest.fixture(scope="module")
def victim(workspace: Workspace) -> Victim:
    data = workspace.path / "data" / DATASET
    card = store.read(data / "embeddings" / BACKBONE).card
    return load(
        workspace.path / "models" / DATASET / BACKBONE / "linear", BACKBONE, Path("weights"), "cpu", card
    )


@pytest.fixture(scope="module")
def images(workspace: Workspace) -> pd.DataFrame:
    return door.test_images(workspace.path / "data" / DATASET, seed=7)


def probabilities(workspace: Workspace, victim: Victim, images: pd.DataFrame) -> torch.Tensor:
    vectors = store.read(workspace.path / "data" / DATASET / "embeddings" / BACKBONE)
    return victim.of(torch.from_numpy(vectors.of(images["image_id"])))


def test_a_hundred_dogs_are_cats_after_saving_and_reading_again(
    workspace: Workspace, victim: Victim, images: pd.DataFrame, tmp_path: Path
) -> None:
    known = probabilities(workspace, victim, images).numpy()
    dogs = gallery.goals(images, known, victim.classes, DOGS)[0]
    assert len(dogs.images) == DOGS
    assert dogs.images["label"].nunique() == 25  # every breed of dog
    pgd = gallery.methods(4 / 255, 1.5, 40, 1.0, 20)[0]
    raw = workspace.path / "data" / DATASET / "raw"
    outcomes = gallery.attack(victim, dogs, [pgd], raw, tmp_path, lambda done: None)
    facts = pd.DataFrame([each.facts for each in outcomes])
    assert facts["fooled"].mean() >= 0.99
    assert facts["levels"].max() <= 4


def test_robust_accuracy_falls_and_the_reference_agrees(
    workspace: Workspace, victim: Victim, images: pd.DataFrame
) -> None:
    """Each epsilon and each attack from the start, so that nothing falls or agrees by construction."""
    chosen = images.head(16)
    labels = door.labels_of(chosen, victim)
    clean = probabilities(workspace, victim, chosen).argmax(1) == labels
    pictures = door.read_pictures(chosen, workspace.path / "data" / DATASET / "raw")
    attackers = robustness.attackers(steps=10, reference_steps=10, restarts=0, seed=7)
    epsilons = [0.25 / 255, 0.5 / 255, 1 / 255]
    plain, reference = (
        [
            robustness.curve(victim, pictures, labels, clean, [epsilon], [attacker]).iloc[-1]
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
def test_the_smallest_change_is_no_larger_than_others_deepfool(
    workspace: Workspace, victim: Victim, images: pd.DataFrame, other: str
) -> None:
    """A dozen dogs into cats, medians of L2."""
    if other == "torchattacks":
        pytest.importorskip(
            other, reason="torchattacks pins old packages: pip install --no-deps torchattacks"
        )
    dogs = gallery.goals(images, probabilities(workspace, victim, images).numpy(), victim.classes, 12)[0]
    pictures = door.read_pictures(dogs.images, workspace.path / "data" / DATASET / "raw")
    cat, dog = (dogs.names.index(name) for name in ("cat", "dog"))

    originals, sizes = canvas(pictures)
    cats = torch.full((len(pictures),), cat)
    found = smallest(victim.misread(sizes, cats, targeted=True, groups=dogs.groups), originals, 20)
    assert found.fooled.all()

    theirs = deepfool_of(other, Species(victim, dogs.groups).eval())
    lengths = []
    for picture in cut(originals, sizes):  # one by one, since they want all of one size
        result = theirs(picture[None], torch.tensor([dog]))
        said = victim.classifier.log_probabilities(result)
        assert grouped(said, dogs.groups).argmax() == cat
        lengths.append(float((result[0] - picture).norm()))
    ours = (found.images - originals).flatten(1).norm(dim=1)
    print(f"median L2 {float(ours.median()):.3f}, {other}'s DeepFool {np.median(lengths):.3f}")
    assert float(ours.median()) <= np.median(lengths)


def test_total_variation_makes_plain_descents_result_smoother(
    monkeypatch: pytest.MonkeyPatch, workspace: Workspace, victim: Victim, images: pd.DataFrame
) -> None:
    """With the weight that is committed, four dogs end smoother than they began, and are cats."""
    monkeypatch.chdir(ROOT)
    weight = params.read("attack", door.Settings).total_variation
    dogs = gallery.goals(images, probabilities(workspace, victim, images).numpy(), victim.classes, 4)[0]
    originals, sizes = canvas(door.read_pictures(dogs.images, workspace.path / "data" / DATASET / "raw"))
    cats = torch.full((4,), dogs.names.index("cat"))
    objective = victim.misread(sizes, cats, targeted=True, groups=dogs.groups)
    rough, smooth = (
        gallery.methods(4 / 255, 1.5, 40, weighted, 20)[3].search(objective, originals, sizes)
        for weighted in (0.0, weight)
    )
    assert smooth.fooled.all()
    before, without, after = (
        [float(total_variation(each)) for each in cut(pictures, sizes)]
        for pictures in (originals, rough.images, smooth.images)
    )
    for was, plain, now in zip(before, without, after, strict=True):
        assert now < was < plain


class Species(torch.nn.Module):
    """The whole classifier, asked only for the species."""

    def __init__(self, victim: Victim, groups: torch.Tensor) -> None:
        super().__init__()
        self.victim, self.groups = victim, groups

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return grouped(self.victim.classifier.log_probabilities(pictures), self.groups)


def deepfool_of(other: str, model: torch.nn.Module) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """Another library's DeepFool: pictures [1, 3, height, width] and labels [1] to adversarial pictures."""
    if other == "torchattacks":
        import torchattacks

        return torchattacks.DeepFool(model, steps=20)
    attack = foolbox.attacks.L2DeepFoolAttack(steps=20, candidates=2)
    bounded = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")
    return lambda pictures, labels: attack(bounded, pictures, labels, epsilons=None)[1]
