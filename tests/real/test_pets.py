"""From the archives to the report on real photographs, to the numbers that the README promises."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Workspace

# data set, then the least top-1, mean per-class accuracy and species accuracy for lite0 and the linear head:
# what scikit-learn reached on the same network's features, rounded down
PROMISED = [
    ("oxford-iiit-pet-subset", 0.922, 0.896, 0.990),
    ("oxford-iiit-pet-128px", 0.857, 0.857, 0.985),
]


def md5(file: Path) -> str:
    return hashlib.md5(file.read_bytes()).hexdigest()


@pytest.mark.parametrize(("name", "top1", "per_class", "species"), PROMISED)
def test_archives_to_report(
    name: str,
    top1: float,
    per_class: float,
    species: float,
    shared: Path,
    new_workspace: Callable[[], Workspace],
) -> None:
    workspace = new_workspace()
    archives = {each: shared / name / f"{each}.tar.gz" for each in ("images", "annotations")}
    workspace.set_params(
        "run.backbones=[efficientnet_lite0]",
        "run.heads=[linear]",
        *(f"datasets.oxford-iiit-pet.{each}.url={file}" for each, file in archives.items()),
        *(f"datasets.oxford-iiit-pet.{each}.md5={md5(file)}" for each, file in archives.items()),
    )
    workspace.run("dvc", "repro")
    folder = workspace.path / "evaluations/oxford-iiit-pet/efficientnet_lite0/linear"
    metrics = json.loads((folder / "metrics.json").read_text())
    print(name, metrics)
    assert metrics["breed"]["top1"] >= top1
    assert metrics["breed"]["mean_per_class_accuracy"] >= per_class
    assert metrics["species"]["top1"] >= species
    page = (workspace.path / "reports/index.html").read_text()
    assert f"{100 * metrics['breed']['top1']:.1f}" in page
    assert md5(archives["images"]) in page
    assert "up to date" in workspace.run("dvc", "repro")
