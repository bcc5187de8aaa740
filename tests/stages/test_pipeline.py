"""What a user relies on, end to end: `dvc repro` on the synthetic sample and on archives made of it."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from ruamel.yaml import YAML

from pets.embeddings import store
from tests.conftest import BACKBONE, HEADS, ROOT, Workspace, md5, pack
from tests.plots import shows, specs


def point_at(workspace: Workspace, archives: dict[str, Path]) -> None:
    workspace.set_params(
        "run.datasets=[oxford-iiit-pet]",
        f"run.backbones=[{BACKBONE}]",
        "run.heads=[prototype]",
        *(f"datasets.oxford-iiit-pet.{name}.url={file}" for name, file in archives.items()),
        *(f"datasets.oxford-iiit-pet.{name}.md5={md5(file)}" for name, file in archives.items()),
    )


@pytest.fixture
def raw(finished: Workspace, tmp_path: Path) -> Path:
    """A raw folder of a few breeds to be changed by a test."""
    raw = tmp_path / "raw"
    (raw / "images").mkdir(parents=True)
    (raw / "annotations").mkdir()
    source = finished.path / "data/sample/raw"
    for name in ("trainval.txt", "test.txt"):
        lines = (source / "annotations" / name).read_text().splitlines()
        kept = [line for line in lines if line.startswith(("Bengal_", "Sphynx_", "pug_", "beagle_"))]
        (raw / "annotations" / name).write_text("\n".join(kept) + "\n")
        for line in kept:
            image = f"{line.split()[0]}.jpg"
            (raw / "images" / image).write_bytes((source / "images" / image).read_bytes())
    return raw


class TestSample:
    def test_every_head_is_measured(self, sample: Workspace) -> None:
        others = ("knn", "mlp")
        sample.set_params(f"run.heads=[{', '.join(others)}]")
        sample.run("dvc", "repro", "evaluate")
        for head in HEADS + others:
            folder = sample.path / "evaluations/sample" / BACKBONE / head
            metrics = json.loads((folder / "metrics.json").read_text())
            assert metrics["top1"] > 10 / 37  # far above one in 37, on synthetic pictures
            assert metrics["species_top1"] >= 25 / 37  # no worse than always predicting dog
            score = json.loads((folder / "scores.json").read_text())["breed"]["top1"]
            assert score["low"] <= score["value"] == metrics["top1"] <= score["high"]
            predictions = pd.read_parquet(folder / "predictions.parquet")
            assert len(predictions) == 37 * 3
            assert predictions["correct"].mean() == pytest.approx(metrics["top1"])
            sums = np.stack(predictions["probabilities"].to_list()).sum(1)
            np.testing.assert_allclose(sums, 1, atol=1e-5)
            assert any((folder / "mistakes").iterdir())

    def test_the_report_has_every_head_and_says_that_the_pets_are_synthetic(
        self, finished: Workspace
    ) -> None:
        page = (finished.path / "reports/index.html").read_text()
        summary = (finished.path / "reports/summary.md").read_text()
        assert "not photographs" in page
        assert "not photographs" in summary
        assert "None" not in summary
        for head in HEADS:
            assert f'id="sample/{BACKBONE}/{head}"' in page
            metrics = json.loads(
                (finished.path / f"evaluations/sample/{BACKBONE}/{head}/metrics.json").read_text()
            )
            [row] = [line for line in summary.splitlines() if line.startswith(f"| {BACKBONE} | {head} |")]
            assert f"{100 * metrics['top1']:.1f}" in row

    def test_metrics_are_in_git_and_nothing_else_is(self, finished: Workspace) -> None:
        assert finished.run("git", "status", "--porcelain", "--untracked-files=all") == ""
        added = finished.run("git", "diff", "--name-only", "--diff-filter=A", "HEAD~1", "HEAD").splitlines()
        metrics = {f"evaluations/sample/{BACKBONE}/{head}/metrics.json" for head in HEADS}
        assert set(added) == {"dvc.lock"} | metrics

    def test_dvc_shows_metrics_and_plots(self, finished: Workspace, tmp_path: Path) -> None:
        shown = json.loads(finished.run("dvc", "metrics", "show", "--json"))
        assert len(shown[""]["data"]) == len(HEADS)
        finished.run("dvc", "plots", "show", "--out", str(tmp_path))
        page = (tmp_path / "index.html").read_text()
        for each in ("confusion_csv", "reliability_csv", "per_class_csv", "validation_csv"):
            assert each in page
        plots = specs(page)
        for head in HEADS:
            curve = plots[f"attacks_sample_{BACKBONE}_{head}_robustness_csv"]
            transfer = plots[f"transfers_sample_{head}_results_{BACKBONE}_transfer_csv"]
            assert shows(curve, "color") == {("PGD",), ("APGD",)}
            assert shows(transfer, "y") == {(BACKBONE,), ("random noise",)}

    def test_pictures_are_on_disk_once(self, finished: Workspace) -> None:
        images = list((finished.path / "data/sample/raw/images").iterdir())
        assert len(images) == 37 * 6
        assert all(image.stat().st_nlink > 1 for image in images)  # the cache's file is the same file

    def test_from_the_start_again_gives_the_same_lock(
        self, finished: Workspace, new_workspace: Callable[[], Workspace]
    ) -> None:
        again = new_workspace()
        (again.path / "params.yaml").write_text((finished.path / "params.yaml").read_text())
        again.set_params("run.heads=[prototype]")
        again.run("dvc", "repro", "evaluate", fork=False)  # as a user's, each with a hash seed of its own
        first, second = ((each.path / "dvc.lock").read_text() for each in (finished, again))
        for stage in second.split("\n  ")[1:]:
            assert stage.strip() in first

    def test_dvc_shows_two_revisions_side_by_side(self, sample: Workspace, tmp_path: Path) -> None:
        sample.run("git", "commit", "-q", "--allow-empty", "-m", "the same again")
        sample.run("dvc", "plots", "diff", "HEAD~1", "HEAD", "--out", str(tmp_path / "plots"))
        plots = specs((tmp_path / "plots/index.html").read_text())
        names = (
            f"attacks_sample_{BACKBONE}_linear_robustness_csv",
            f"transfers_sample_linear_results_{BACKBONE}_transfer_csv",
        )
        for name in names:
            assert shows(plots[name], "facet") == {("HEAD~1",), ("HEAD",)}


def test_one_added_photo_costs_one_embedding(
    raw: Path, tmp_path: Path, new_workspace: Callable[[], Workspace]
) -> None:
    workspace = new_workspace()
    point_at(workspace, pack(raw, tmp_path))
    assert "24 images embedded, 0 known before." in workspace.run("dvc", "repro", "embed")
    Image.new("RGB", (80, 90), "tan").save(raw / "images" / "pug_999.jpg")
    with (raw / "annotations" / "trainval.txt").open("a") as file:
        file.write("pug_999 30 2 18\n")
    before = store.read(workspace.path / "data/oxford-iiit-pet/embeddings" / BACKBONE)
    names = list(before.index["image_id"])
    vectors = before.vectors_of(names)
    point_at(workspace, pack(raw, tmp_path))
    assert "1 images embedded, 24 known before." in workspace.run("dvc", "repro", "embed")
    after = store.read(workspace.path / "data/oxford-iiit-pet/embeddings" / BACKBONE)
    np.testing.assert_array_equal(after.vectors_of(names), vectors)
    assert len(after.index) == 25


def test_what_cannot_be_used_keeps_its_row(
    raw: Path, tmp_path: Path, new_workspace: Callable[[], Workspace]
) -> None:
    images = raw / "images"
    damaged = sorted(images.glob("pug_*.jpg"))[0]
    damaged.write_bytes(damaged.read_bytes()[:300])
    Image.new("RGB", (9, 9)).save(images / "nobody_1.jpg")
    first, second = sorted(images.glob("beagle_*.jpg"))[0], sorted(images.glob("beagle_*.jpg"))[-1]
    second.write_bytes(first.read_bytes())
    workspace = new_workspace()
    point_at(workspace, pack(raw, tmp_path))
    workspace.run("dvc", "repro", "evaluate")
    data = workspace.path / "data/oxford-iiit-pet"
    catalog = pd.read_parquet(data / "catalog.parquet").set_index("image_id")
    assert "runcated" in str(catalog.loc[damaged.stem, "status"])
    assert catalog.loc["nobody_1", "status"] == "it has no label"
    splits = pd.read_parquet(data / "splits.parquet")
    assert not {damaged.stem, "nobody_1"} & set(splits["image_id"])
    summary = json.loads((data / "catalog.json").read_text())
    assert (summary["listed"], summary["usable"]) == (25, 23)
    assert [first.stem, second.stem] in summary["duplicates"]
    evaluation = workspace.path / "evaluations/oxford-iiit-pet" / BACKBONE / "prototype"
    provenance = json.loads((evaluation / "provenance.json").read_text())  # which the page shows
    reasons = {each["image_id"]: each["reason"] for each in provenance["images"]["unreadable"]}
    assert reasons.keys() == {damaged.stem, "nobody_1"}
    assert reasons["nobody_1"] == "it has no label"


class TestBadInput:
    """One or two lines, an exit code, and earlier outputs are untouched."""

    @pytest.fixture
    def workspace(self, new_workspace: Callable[[], Workspace]) -> Workspace:
        return new_workspace()

    def fails(self, workspace: Workspace, *command: str) -> str:
        output = workspace.run("python", "-m", *command, fails=True)
        lines = [line for line in output.splitlines() if "images/s" not in line and "files/s" not in line]
        assert "Traceback" not in output
        assert len(lines) <= 2, output
        return output

    def test_unreachable_host(self, workspace: Workspace) -> None:
        workspace.set_params("datasets.oxford-iiit-pet.images.url=/nowhere/images.tar.gz")
        output = self.fails(workspace, "stages.download", "oxford-iiit-pet")
        assert "/nowhere/images.tar.gz" in output

    def test_a_wrong_md5_says_how_to_get_the_earlier_pictures_back(
        self, workspace: Workspace, raw: Path, tmp_path: Path
    ) -> None:
        archives = pack(raw, tmp_path)
        point_at(workspace, archives)
        workspace.run("dvc", "repro", "download@oxford-iiit-pet")
        before = sorted((workspace.path / "data/oxford-iiit-pet/raw/images").iterdir())
        workspace.set_params(f"datasets.oxford-iiit-pet.images.md5={'f' * 32}")
        output = workspace.run("dvc", "repro", "download@oxford-iiit-pet", fails=True)
        assert "f" * 32 in output
        assert md5(archives["images"]) in output
        assert "Traceback" not in output
        assert "`dvc checkout download@oxford-iiit-pet` brings back" in output
        workspace.run("dvc", "checkout", "download@oxford-iiit-pet")
        assert sorted((workspace.path / "data/oxford-iiit-pet/raw/images").iterdir()) == before

    def test_a_label_without_an_image(self, workspace: Workspace, raw: Path, tmp_path: Path) -> None:
        with (raw / "annotations" / "test.txt").open("a") as file:
            file.write("pug_4711 30 2 18\n")
        point_at(workspace, pack(raw, tmp_path))
        workspace.run("python", "-m", "stages.download", "oxford-iiit-pet")
        assert "pug_4711 has no image" in self.fails(workspace, "stages.catalog", "oxford-iiit-pet")

    def test_a_class_with_too_few_images(self, workspace: Workspace, raw: Path, tmp_path: Path) -> None:
        file = raw / "annotations" / "trainval.txt"
        lines = file.read_text().splitlines()
        pugs = [line for line in lines if line.startswith("pug_")]
        file.write_text("\n".join(line for line in lines if line not in pugs[1:]) + "\n")
        point_at(workspace, pack(raw, tmp_path))
        workspace.run("python", "-m", "stages.download", "oxford-iiit-pet")
        workspace.run("python", "-m", "stages.catalog", "oxford-iiit-pet")
        assert "'pug' has too few images" in self.fails(workspace, "stages.split", "oxford-iiit-pet")

    @pytest.mark.parametrize(
        ("assignment", "message"),
        [
            ("run.backbones=[resnet05]", "did you mean 'resnet50'"),
            ("run.heads=[lineer]", "did you mean 'linear'"),
            ("run.datasets=[sampel]", "did you mean 'sample'"),
            ("split.validation=1.5", "'split.validation' is 1.5"),
        ],
    )
    def test_a_mistyped_parameter(
        self, new_workspace: Callable[[], Workspace], assignment: str, message: str
    ) -> None:
        workspace = new_workspace()
        text = (workspace.path / "params.yaml").read_text()
        workspace.run("python", "-m", "stages.params", assignment, fails="run." in assignment)
        if "run." in assignment:
            assert (workspace.path / "params.yaml").read_text() == text  # refused, so not written
            kind, name = assignment.removeprefix("run.").removesuffix("]").split("=[")
            content = YAML(typ="safe").load(text)
            content["run"][kind] = [name]
            YAML(typ="safe").dump(content, workspace.path / "params.yaml")
        assert message in self.fails(workspace, "stages.split", "oxford-iiit-pet")


@pytest.mark.parametrize(
    ("stages", "packages"),
    [
        (("code", "download", "catalog", "split", "report"), {"torch", "torchvision"}),
        (("embed", "train", "evaluate", "attack", "transfer", "features", "gradcam"), {"torchvision"}),
    ],
)
def test_stages_start_without_slow_packages(stages: tuple[str, ...], packages: set[str]) -> None:
    modules = ", ".join(f"stages.{stage}" for stage in stages)
    code = f"import sys, {modules}; sys.exit(' '.join({packages} & sys.modules.keys()) or None)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
