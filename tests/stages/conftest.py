"""One finished run of the synthetic sample, of which each test that changes something gets a copy."""

import fcntl
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Workspace

BACKBONE = "efficientnet_lite0"
HEADS = ("linear", "knn", "prototype", "mlp")


@pytest.fixture(scope="session")
def finished(new_workspace: Callable[[], Workspace], tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The sample, few and small, through every stage and head, its results committed. Don't change it.

    Parallel test processes share one: the first makes it, the others wait for it.
    """
    folder = tmp_path_factory.getbasetemp()
    note = (folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "finished.txt"
    with note.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        if path := file.read():
            return Workspace(Path(path))
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
        file.write(str(workspace.path))
    return workspace


@pytest.fixture
def sample(finished: Workspace, tmp_path: Path) -> Workspace:
    """A copy of the finished run, DVC's cache included, to be changed."""
    path = tmp_path / "workspace"
    subprocess.run(["cp", "-a", finished.path, path], check=True)  # keeps the hard links to the cache
    shutil.rmtree(path / ".dvc" / "tmp", ignore_errors=True)
    return Workspace(path)


def pack(raw: Path, folder: Path) -> dict[str, Path]:
    """The official archives of a raw folder: images.tar.gz and annotations.tar.gz."""
    archives = {}
    for name in ("images", "annotations"):
        archives[name] = folder / f"{name}.tar.gz"
        with tarfile.open(archives[name], "w:gz") as archive:
            archive.add(raw / name, arcname=name)
    return archives
