"""From the archives to the report on real photographs, to the numbers that the README states."""

import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from tests.conftest import Workspace, md5


def test_archives_to_report(shared: Path, reported: Workspace) -> None:
    """At least what scikit-learn reached on the features of the same network, rounded down."""
    folder = reported.path / "evaluations/oxford-iiit-pet/efficientnet_lite0/linear"
    metrics = json.loads((folder / "metrics.json").read_text())
    print(metrics)
    assert metrics["top1"] >= 0.922
    assert metrics["mean_per_class"] >= 0.896
    assert metrics["species_top1"] >= 0.990
    provenance = json.loads((folder / "provenance.json").read_text())
    assert provenance["backbone"]["engine"] == "openvino"  # whose features are PyTorch's on photographs
    page = (reported.path / "reports/index.html").read_text()
    assert f"{100 * metrics['top1']:.1f}" in page
    assert md5(shared / "oxford-iiit-pet-subset" / "images.tar.gz") in page
    assert "up to date" in reported.run("dvc", "repro")


def test_lite0_against_lite1(shared: Path, new_workspace: Callable[[], Workspace], tmp_path: Path) -> None:
    """Two commits that differ in the backbone get a verdict with its interval, on four kinds of clothes."""
    workspace = new_workspace()
    archive = tmp_path / "tops.tar"
    with tarfile.open(shared / "new-kinds" / "clothing.tar.gz") as whole, tarfile.open(archive, "w") as part:
        for member in whole:
            if member.isfile() and member.name.split("/")[1] in ("t-shirt", "shirt", "longsleeve", "outwear"):
                part.addfile(member, whole.extractfile(member))
    workspace.set_params(
        f"datasets.clothing={{source: image-folder, archive: {{url: {archive}, md5: {md5(archive)}}}}}",
        "run.datasets=[clothing]",
        "run.heads=[linear]",
        "embed.engine=openvino",
        "embed.precision=float32",
        "embed.views=1",
    )
    for name in ("lite0", "lite1"):
        workspace.set_params(f"run.backbones=[efficientnet_{name}]")
        workspace.run("dvc", "repro", "evaluate")
        commit(workspace, name)
    print(workspace.run(*COMPARE, "lite0", "lite1", "--json", "found.json", "--page", "page.html"))
    found = json.loads((workspace.path / "found.json").read_text())
    (pair,) = found["pairs"]
    images = pair["images"]
    assert images == 4 * 24
    top1, *_ = pair["tests"]
    gained, lost = len(pair["gained"]), len(pair["lost"])
    low, high = top1["interval"]
    assert low < top1["new"] - top1["old"] < high
    assert top1["new"] - top1["old"] == pytest.approx((gained - lost) / images)
    assert top1["p"] == pytest.approx(mcnemar([[0, lost], [gained, 0]], exact=True).pvalue)
    corrected = multipletests([test["p"] for test in pair["tests"]], method="holm")[1]
    for test, p in zip(pair["tests"], corrected, strict=True):
        assert test["p_corrected"] == pytest.approx(p)
        higher = (test["new"] > test["old"]) == (test["metric"] != "nll")
        assert test["verdict"] == ("no more than chance" if p >= 0.05 else "better" if higher else "worse")
    page = (workspace.path / "page.html").read_text()
    assert page.count("data:image/jpeg") == min(24, gained) + min(24, lost) > 0
    assert "not in this workspace" not in page


COMPARE = ("python", "-m", "flows.compare")


def commit(workspace: Workspace, tag: str) -> None:
    workspace.run("git", "add", "-A")
    workspace.run("git", "commit", "-qm", tag)
    workspace.run("git", "tag", tag)
