"""One finished run of the synthetic sample, of which each test that changes something gets a copy."""

import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Workspace

BACKBONE = "efficientnet_lite0"
HEADS = ("linear", "knn", "prototype", "mlp")


@pytest.fixture(scope="session")
def finished(
    new_workspace: Callable[[], Workspace],
    shared_by_processes: Callable[[str, Callable[[], Workspace]], Workspace],
) -> Workspace:
    """The sample, few and small, through every stage and head, its results committed. Don't change it."""

    def run() -> Workspace:
        workspace = new_workspace()
        workspace.set_params(
            "run.datasets=[sample]",
            f"run.backbones=[{BACKBONE}]",
            f"run.heads=[{', '.join(HEADS)}]",
            "datasets.sample.per_breed=6",
            "datasets.sample.size=96",
            "evaluate.bootstrap=100",
        )
        workspace.run("dvc", "repro")
        workspace.commit("a run")
        return workspace

    return shared_by_processes("finished", run)


@pytest.fixture
def sample(finished: Workspace, tmp_path: Path) -> Workspace:
    """A copy of the finished run, to be changed."""
    return finished.copy(tmp_path / "workspace")


def pack(raw: Path, folder: Path) -> dict[str, Path]:
    """The official archives of a raw folder: images.tar.gz and annotations.tar.gz."""
    archives = {}
    for name in ("images", "annotations"):
        archives[name] = folder / f"{name}.tar.gz"
        with tarfile.open(archives[name], "w:gz") as archive:
            archive.add(raw / name, arcname=name)
    return archives
