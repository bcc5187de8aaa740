"""Cats vs. Dogs, textures and clothing by entries in params.yaml: as good as scikit-learn on the features."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pets.classifier.examples import examples_of
from pets.classifier.fitted_head import load_head
from pets.classifier.unknown import load_unknown
from pets.core import params
from pets.dataset import Dataset
from pets.embeddings.outliers import read_outliers
from pets.metrics.auroc import auroc
from stages import catalog, download, embed, evaluate, split, train
from tests.conftest import BACKBONE, ROOT, Workspace, md5

# Source, archive, number of split seeds, and the least mean top-1: what scikit-learn reached by 4-fold
# cross-validation, rounded down. Single splits have a standard deviation of up to 0.018, the mean of five of
# 0.008, and that of ten of 0.006; five are enough where the margin is wide.
DATASETS = {
    "cats-vs-dogs": ("cats-vs-dogs", "cats-vs-dogs-subset/kagglecatsanddogs_subset.zip", 5, 0.985),
    "textures": ("image-folder", "new-kinds/textures.tar.gz", 10, 0.88),
    "clothing": ("image-folder", "new-kinds/clothing.tar.gz", 10, 0.84),
}


@pytest.fixture(scope="module")
def _workspace(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A folder with the parameters, where all stages run in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("new-kinds"))
        shutil.copy(ROOT / "params.yaml", ".")
        entries = {
            name: f"{{source: {source}, archive: {{url: {shared / file}, md5: {md5(shared / file)}}}}}"
            for name, (source, file, *_) in DATASETS.items()
        }
        engine = ["embed.engine=openvino", "embed.precision=float32"]
        few = [*engine, "split.test=0.25", "evaluate.bootstrap=1", "evaluate.mistakes=0"]
        params.override([*few, *(f"datasets.{name}={entry}" for name, entry in entries.items())])
        yield


@pytest.mark.usefixtures("_workspace")
@pytest.mark.parametrize("name", DATASETS)
def test_accuracy(name: str) -> None:
    *_, seeds, least = DATASETS[name]
    params.override([f"run.datasets=[{name}]", f"run.backbones=[{BACKBONE}]", "run.heads=[linear]"])
    download.main(name)
    catalog.main(name)
    embed.main(name, BACKBONE)
    found = []
    for seed in range(seeds):
        params.override([f"seed={seed}"])
        split.main(name)
        train.main(name, BACKBONE, "linear")
        evaluate.main(name, BACKBONE, "linear")
        folder = Dataset(name).evaluation(BACKBONE, "linear")
        found.append(json.loads((folder / "metrics.json").read_text())["top1"])
    print(f"{name}: {np.mean(found):.4f}, from {min(found):.4f} to {max(found):.4f}")
    assert np.mean(found) >= least


@pytest.mark.usefixtures("_workspace")
@pytest.mark.parametrize("name", ["textures", "clothing"])
def test_other_kinds_of_pictures_are_unknown_to_a_model_of_pets(name: str, reported: Workspace) -> None:
    """By the score that was chosen on validation; the pictures were embedded for `test_accuracy`."""
    other = read_outliers(BACKBONE, [name])[name]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(reported.path)
        pets = Dataset("oxford-iiit-pet")
        model = pets.model(BACKBONE, "linear")
        head, unknown = load_head(model), load_unknown(model)
        test = examples_of(pets, BACKBONE, "test", "cpu").features
    assert len(other) == 800
    known, high = (unknown.scores(head, each).numpy() for each in (test, other))
    print(f"{unknown.score}: {auroc(known, high):.4f}")
    assert auroc(known, high) >= 0.999
    assert (high > unknown.threshold).mean() > 0.97
    assert (known > unknown.threshold).mean() == pytest.approx(0.05, abs=0.03)


@pytest.mark.usefixtures("_workspace")
def test_the_bad_files_of_cats_vs_dogs_are_named() -> None:
    summary = json.loads(Path("data/cats-vs-dogs/catalog.json").read_text())
    assert (summary["listed"], summary["usable"]) == (904, 900)
    assert {each["image_id"]: each["reason"] for each in summary["unreadable"]} == {
        "Cat/666.jpg": "the file is empty",
        "Cat/Thumbs.db": "not a picture of a known format",
        "Dog/11702.jpg": "image file is truncated (23 bytes not processed)",
        "Dog/Thumbs.db": "not a picture of a known format",
    }
    table = pd.read_parquet("data/cats-vs-dogs/catalog.parquet")
    assert (table["label"] == table["species"]).all()
    assert table["official_split"].isna().all()
