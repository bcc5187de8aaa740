"""A few photographs of a few breeds: calibration does no harm, and PGD finds what the reference finds."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional

from pets import heads
from pets.attacks import robustness
from pets.attacks.pictures import read_pictures
from pets.classifier.classifier import load
from pets.classifier.fitted_head import FittedHead
from pets.classifier.training import train
from pets.core import params
from pets.dataset import Dataset
from pets.embeddings import store
from pets.heads import Examples
from tests.conftest import ROOT, Workspace

DATASET, BACKBONE, SEED = "oxford-iiit-pet", "efficientnet_lite0", 7
CALIBRATED, ATTACKED = 100, 2  # draws
IMAGES = 6  # attacked of each draw


@pytest.fixture(scope="module")
def catalog(reported: Workspace) -> Iterator[pd.DataFrame]:
    """The subset's photographs with labels, paths and features, in the run's folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(reported.path)
        data = Dataset(DATASET)
        images = data.splits().merge(data.catalog("image_id", "path"), on="image_id")
        images["vector"] = list(store.read(data.embeddings(BACKBONE)).vectors_of(images["image_id"]))
        yield images


@dataclass(frozen=True)
class Draw:
    """A small data set: its classes, and its images split by the shares of params.yaml."""

    classes: list[str]
    images: pd.DataFrame

    def examples(self, split: str) -> Examples:
        rows = self.images[self.images["drawn"] == split]
        labels = torch.tensor([self.classes.index(label) for label in rows["label"]])
        return Examples(torch.from_numpy(np.stack(list(rows["vector"]))), labels)


def draw(catalog: pd.DataFrame, seed: int) -> Draw:
    """2 to 6 breeds of 10 to 30 photographs each; all other photographs of these breeds are its test."""
    random = np.random.default_rng(seed)
    classes = sorted(random.choice(sorted(catalog["label"].unique()), random.integers(2, 7), replace=False))
    parts = []
    for label in classes:
        part = catalog[catalog["label"] == label].sample(frac=1, random_state=random)
        count = int(random.integers(10, 31))
        validation = max(1, round(0.2 * count))
        drawn = np.array(["test"] * len(part), dtype=object)
        drawn[:count], drawn[:validation] = "train", "val"
        parts.append(part.assign(drawn=drawn))
    return Draw(classes, pd.concat(parts, ignore_index=True))


@pytest.mark.parametrize(("head", "draws"), [("linear", CALIBRATED), ("prototype", 60), ("knn", 60)])
def test_calibration_on_few_images_is_seldom_worse_than_none(
    catalog: pd.DataFrame, head: str, draws: int
) -> None:
    """Negative log-likelihood on other photographs, calibrated and not, for the same chosen setting."""
    before, after = [], []
    for seed in range(draws):
        small = draw(catalog, seed)
        fitted = fit(head, small)
        test = small.examples("test")
        logits = fitted.uncalibrated(test.features).double()
        before.append(float(functional.cross_entropy(logits, test.labels)))
        after.append(fitted.calibration.nll(logits, test.labels))
    worse = np.array(after) - np.array(before)
    print(
        f"{head}: {np.mean(before):.3f} without, {np.mean(after):.3f} with; {np.mean(worse > 0.05):.1%} worse"
    )
    assert np.mean(after) <= np.mean(before)
    assert np.mean(worse > 0.05) <= 0.05


def test_pgd_finds_what_the_reference_finds(catalog: pd.DataFrame) -> None:
    """The attack's loss has a slope though a head that separates its few images is certain of most."""
    classifier = load(Dataset(DATASET).model(BACKBONE, "linear"), ROOT / "weights", "cpu")
    attackers = robustness.attackers(steps=10, reference_steps=10, restarts=0, seed=SEED)
    for seed in range(ATTACKED):
        small = draw(catalog, seed)
        fitted = fit("linear", small)
        chosen = small.images[small.images["drawn"] == "test"].sample(IMAGES, random_state=seed)
        labels = torch.tensor([small.classes.index(label) for label in chosen["label"]])
        features = torch.from_numpy(np.stack(list(chosen["vector"])))
        curve = robustness.curve(
            replace(classifier, head=fitted),
            read_pictures(chosen, Path("data", DATASET, "raw")),
            labels,
            fitted.probabilities(features).argmax(1) == labels,
            [0.5 / 255, 1 / 255],
            attackers,
        )
        plain, reference = (rows["robust"].to_numpy() for _, rows in curve.groupby("attack", sort=False))
        print(f"draw {seed}: PGD {plain}, APGD {reference}")
        assert (IMAGES * (plain - reference) <= 2 + 1e-9).all()
        assert plain[-1] < plain[0]


def fit(head: str, small: Draw) -> FittedHead:
    """With the committed settings."""
    settings = params.read(f"train.{head}", heads.load(head).Settings)
    return train(head, small.examples("train"), small.examples("val"), small.classes, settings, SEED).head
