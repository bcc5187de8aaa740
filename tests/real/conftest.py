"""Runs on real photographs, each made once for all tests and test processes."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Workspace, md5


@pytest.fixture(scope="session")
def reported(
    shared: Path,
    new_workspace: Callable[[], Workspace],
    shared_by_processes: Callable[[str, Callable[[], Workspace]], Workspace],
) -> Callable[[str], Workspace]:
    """A workspace where a data set was run from archives to report; don't change it, copy it.

    In one view, which takes half the time of two; the larger one goes only as far as the evaluation.
    """

    def run(name: str) -> Workspace:
        workspace = new_workspace()
        archives = {each: shared / name / f"{each}.tar.gz" for each in ("images", "annotations")}
        workspace.set_params(
            "run.backbones=[efficientnet_lite0]",
            "run.heads=[linear]",
            "embed.engine=auto",
            "embed.views=1",
            "attack.curve.images=1",
            "curve.images=[1, 5]",
            "curve.draws=1",
            "audit.pairs=3000",
            *(f"datasets.oxford-iiit-pet.{each}.url={file}" for each, file in archives.items()),
            *(f"datasets.oxford-iiit-pet.{each}.md5={md5(file)}" for each, file in archives.items()),
        )
        if name == "oxford-iiit-pet-128px":
            workspace.run("dvc", "repro", "evaluate")
        else:
            workspace.run("dvc", "repro")
        return workspace

    return lambda name: shared_by_processes(name, lambda: run(name))
