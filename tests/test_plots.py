"""What `dvc plots show` draws of the attacks."""

from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Workspace
from tests.pictures.generated import write_attack, write_transfer
from tests.plots import fields, shows, specs

BACKBONES = ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")


@pytest.fixture(scope="module")
def shown(
    new_workspace: Callable[[], Workspace], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, Any]]:
    """Of tables that are generated."""
    workspace = new_workspace()
    workspace.set_params(
        "run.datasets=[sample]", f"run.backbones=[{', '.join(BACKBONES)}]", "run.heads=[linear, knn]"
    )
    for head in ("linear", "knn"):
        for backbone in BACKBONES:
            write_attack(workspace.path / "attacks/sample" / backbone / head, ["pug"], ["pug_1", "pug_2"])
        write_transfer(workspace.path / "transfers/sample" / head, BACKBONES)
    out = tmp_path_factory.mktemp("plots")
    workspace.run("dvc", "plots", "show", "--out", str(out))
    return specs(Path(out, "index.html").read_text())


@pytest.mark.parametrize(("backbone", "head"), [*product(BACKBONES, ("linear", "knn"))])
def test_both_attacks_are_drawn_with_their_intervals(
    shown: dict[str, dict[str, Any]], backbone: str, head: str
) -> None:
    curve = shown[f"attacks_sample_{backbone}_{head}_robustness_csv"]
    assert shows(curve, "color") == shows(curve, "shape") == {("PGD",), ("APGD",)}
    assert {"level", "robust", "low", "high"} <= fields(curve)
    assert f"sample/{backbone}/{head}" in curve["title"]["text"]


@pytest.mark.parametrize("head", ["linear", "knn"])
def test_every_source_is_drawn_on_every_target(shown: dict[str, dict[str, Any]], head: str) -> None:
    matrix = shown[f"transfers_sample_{head}_matrix_csv"]
    assert shows(matrix, "y", "x") == set(product((*BACKBONES, "random noise"), BACKBONES))
    assert {"fooled", "share", "interval"} <= fields(matrix)
    assert f"sample/{head}" in matrix["title"]["text"]
