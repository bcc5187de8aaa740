"""Real dogs into cats: that an attack still holds once the picture is saved, and that it is a small one."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch

from stages import attack as door
from stages.attacks import gallery, robustness
from stages.attacks.victim import Victim, load
from stages.embeddings import store
from tests.conftest import Workspace

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
    chosen = images.head(16)
    labels = door.labels_of(chosen, victim)
    clean = probabilities(workspace, victim, chosen).argmax(1) == labels
    pictures = door.read_pictures(chosen, workspace.path / "data" / DATASET / "raw")
    attackers = robustness.attackers(steps=10, reference_steps=10, restarts=0, seed=7)
    curve = robustness.curve(victim, pictures, labels, clean, [0.5 / 255, 1 / 255, 2 / 255], attackers)
    plain, reference = (rows for _, rows in curve.groupby("attack", sort=False))
    for rows in (plain, reference):
        assert rows["robust"].is_monotonic_decreasing
        assert rows["saved"].is_monotonic_decreasing
    assert plain["robust"].iloc[-1] == 0  # an undefended classifier
    agrees = reference["robust"].to_numpy() >= plain["low"].to_numpy() - 1e-9
    assert agrees.all()
