"""The plots of the attacks that `dvc plots show` makes."""

from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Workspace
from tests.plots import fields, shows, specs
from tests.report.generated import write_attack, write_transfer

BACKBONES = ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")


@pytest.fixture(scope="module")
def shown(
    new_workspace: Callable[[], Workspace], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, Any]]:
    """The plots of generated tables, by name."""
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
def test_both_attacks_are_shown_with_their_intervals(
    shown: dict[str, dict[str, Any]], backbone: str, head: str
) -> None:
    curve = shown[f"attacks_sample_{backbone}_{head}_robustness_csv"]
    assert shows(curve, "color") == shows(curve, "shape") == {("PGD",), ("APGD",)}
    assert {"level", "robust", "low", "high"} <= fields(curve)
    assert f"sample/{backbone}/{head}" in curve["title"]["text"]


@pytest.mark.parametrize(("target", "head"), [*product(BACKBONES, ("linear", "knn"))])
def test_every_source_and_the_control_are_shown_on_every_target(
    shown: dict[str, dict[str, Any]], target: str, head: str
) -> None:
    bars = shown[f"transfers_sample_{head}_results_{target}_transfer_csv"]
    assert shows(bars, "y") == {(source,) for source in (*BACKBONES, "random noise")}
    assert {row["target"] for row in bars["data"]["values"]} == {target}
    assert {"fooled", "low", "high", "share", "interval", "kind"} <= fields(bars)
    assert bars["facet"]["field"] == "rev"
    assert target in bars["title"]["text"]
    assert f"sample/{head}" in bars["title"]["text"]
