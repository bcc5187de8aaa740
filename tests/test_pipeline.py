"""What a user relies on, end to end: `dvc repro` on the built-in drawn pets and on archives made of them."""

import hashlib
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from stages.embeddings import store
from tests.conftest import ROOT, Workspace, stages_run
from tests.plots import shows, specs

BACKBONE = "efficientnet_lite0"
HEADS = ("linear", "knn", "prototype", "mlp")


def md5(file: Path) -> str:
    return hashlib.md5(file.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def sample(new_workspace: Callable[[], Workspace]) -> Workspace:
    """The drawn pets, few and small, through every head; tests that change it work on copies' params."""
    workspace = new_workspace()
    workspace.set_params(
        "run.datasets=[sample]",
        f"run.backbones=[{BACKBONE}]",
        "run.heads=[linear, knn, prototype, mlp]",
        "datasets.sample.per_breed=6",
        "datasets.sample.size=96",
        "evaluate.bootstrap=100",
    )
    workspace.run("dvc", "repro")
    return workspace


def pack(raw: Path, folder: Path) -> dict[str, Path]:
    """The official archives of a raw folder: images.tar.gz and annotations.tar.gz."""
    archives = {}
    for name in ("images", "annotations"):
        archives[name] = folder / f"{name}.tar.gz"
        with tarfile.open(archives[name], "w:gz") as archive:
            archive.add(raw / name, arcname=name)
    return archives


def point_at(workspace: Workspace, archives: dict[str, Path]) -> None:
    workspace.set_params(
        "run.datasets=[oxford-iiit-pet]",
        f"run.backbones=[{BACKBONE}]",
        "run.heads=[prototype]",
        *(f"datasets.oxford-iiit-pet.{name}.url={file}" for name, file in archives.items()),
        *(f"datasets.oxford-iiit-pet.{name}.md5={md5(file)}" for name, file in archives.items()),
    )


@pytest.fixture
def drawn(sample: Workspace, tmp_path: Path) -> Path:
    """A raw folder of a few breeds to be changed by a test."""
    raw = tmp_path / "raw"
    (raw / "images").mkdir(parents=True)
    (raw / "annotations").mkdir()
    source = sample.path / "data/sample/raw"
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
        for head in HEADS:
            folder = sample.path / "evaluations/sample" / BACKBONE / head
            metrics = json.loads((folder / "metrics.json").read_text())
            assert metrics["breed"]["top1"] > 10 / 37  # far above one in 37, on drawings
            assert metrics["species"]["top1"] > 25 / 37  # better than always saying dog
            intervals = json.loads((folder / "intervals.json").read_text())
            low, high = intervals["breed"]["top1"]
            assert low <= metrics["breed"]["top1"] <= high
            predictions = pd.read_parquet(folder / "predictions.parquet")
            assert len(predictions) == 37 * 3
            assert predictions["correct"].mean() == pytest.approx(metrics["breed"]["top1"])
            sums = np.stack(predictions["probabilities"].to_list()).sum(1)
            np.testing.assert_allclose(sums, 1, atol=1e-5)
            assert any((folder / "mistakes").iterdir())

    def test_the_report_says_that_they_are_drawn(self, sample: Workspace) -> None:
        page = (sample.path / "reports/index.html").read_text()
        assert "not photographs" in page
        for head in HEADS:
            assert head in page
        assert "drawn" in (sample.path / "reports/summary.md").read_text()

    def test_nothing_changed_nothing_runs(self, sample: Workspace) -> None:
        assert stages_run(sample.run("dvc", "repro")) == set()

    def test_metrics_are_in_git_and_nothing_else_is(self, sample: Workspace) -> None:
        new = sample.run("git", "status", "--porcelain", "--untracked-files=all").splitlines()
        names = {line[3:] for line in new if not line.startswith(" M")}
        metrics = {f"evaluations/sample/{BACKBONE}/{head}/metrics.json" for head in HEADS}
        ideals = {
            f"ideals/{each}/metrics.json"
            for each in (f"imagenet/{BACKBONE}", *(f"sample/{BACKBONE}/{head}" for head in HEADS))
        }
        attacks = {each.replace("evaluations", "attacks") for each in metrics}
        transfers = {f"transfers/sample/{head}/metrics.json" for head in HEADS}
        others = {"dvc.lock", "reports/summary.md", "ideal_readings/metrics.json"}
        assert names == others | metrics | attacks | transfers | ideals

    def test_dvc_shows_metrics_and_plots(self, sample: Workspace, tmp_path: Path) -> None:
        shown = json.loads(sample.run("dvc", "metrics", "show", "--json"))
        # evaluations, attacks, transfers and ideals of each head; ImageNet's ideals, and readings
        assert len(shown[""]["data"]) == 4 * len(HEADS) + 2
        sample.run("dvc", "plots", "show", "--out", str(tmp_path))
        page = (tmp_path / "index.html").read_text()
        for each in ("confusion_csv", "reliability_csv", "per_class_csv", "validation_csv"):
            assert each in page
        plots = specs(page)
        for head in HEADS:
            curve = plots[f"attacks_sample_{BACKBONE}_{head}_robustness_csv"]
            matrix = plots[f"transfers_sample_{head}_matrix_csv"]
            assert shows(curve, "color") == {("PGD",), ("APGD",)}
            assert shows(matrix, "y", "x") == {(BACKBONE, BACKBONE), ("random noise", BACKBONE)}

    def test_pictures_are_on_disk_once(self, sample: Workspace) -> None:
        images = list((sample.path / "data/sample/raw/images").iterdir())
        assert len(images) == 37 * 6
        assert all(image.stat().st_nlink > 1 for image in images)  # the cache's file is the same file

    def test_a_changed_head_embeds_nothing(self, sample: Workspace) -> None:
        sample.set_params("train.knn.neighbours=[1, 5]")
        output = sample.run("dvc", "repro")
        name = f"sample-{BACKBONE}-knn"
        own = {f"{stage}@{name}" for stage in ("train", "evaluate", "attack", "ideal_breeds", "gradcam")}
        assert stages_run(output) >= {*own, "transfer@sample-knn", "ideal_readings", "report"}
        assert not any(each.startswith(("embed", "features", "ideal@")) for each in stages_run(output))

    def test_from_the_start_again_gives_the_same_lock(
        self, sample: Workspace, new_workspace: Callable[[], Workspace]
    ) -> None:
        again = new_workspace()
        (again.path / "params.yaml").write_text((sample.path / "params.yaml").read_text())
        again.run("dvc", "repro", "train", "evaluate")
        first, second = ((each.path / "dvc.lock").read_text() for each in (sample, again))
        for stage in second.split("\n  ")[1:]:
            assert stage.strip() in first

    def test_dvc_shows_two_revisions_side_by_side(self, sample: Workspace, tmp_path: Path) -> None:
        """The last test here, for it commits."""
        sample.commit("a run")
        sample.run("git", "commit", "-q", "--allow-empty", "-m", "the same again")
        sample.run("dvc", "plots", "diff", "HEAD~1", "HEAD", "--out", str(tmp_path))
        plots = specs((tmp_path / "index.html").read_text())
        for name in (f"attacks_sample_{BACKBONE}_knn_robustness_csv", "transfers_sample_knn_matrix_csv"):
            assert shows(plots[name], "facet") == {("HEAD~1",), ("HEAD",)}


def test_one_added_photo_costs_one_embedding(
    drawn: Path, tmp_path: Path, new_workspace: Callable[[], Workspace]
) -> None:
    workspace = new_workspace()
    point_at(workspace, pack(drawn, tmp_path))
    assert "24 images embedded, 0 known before." in workspace.run("dvc", "repro", "embed")
    Image.new("RGB", (80, 90), "tan").save(drawn / "images" / "pug_999.jpg")
    with (drawn / "annotations" / "trainval.txt").open("a") as file:
        file.write("pug_999 27 2 15\n")
    before = store.read(workspace.path / "data/oxford-iiit-pet/embeddings" / BACKBONE)
    names = list(before.index["image_id"])
    vectors = before.of(names)
    point_at(workspace, pack(drawn, tmp_path))
    assert "1 images embedded, 24 known before." in workspace.run("dvc", "repro", "embed")
    after = store.read(workspace.path / "data/oxford-iiit-pet/embeddings" / BACKBONE)
    np.testing.assert_array_equal(after.of(names), vectors)
    assert len(after.index) == 25


def test_what_cannot_be_used_keeps_its_row(
    drawn: Path, tmp_path: Path, new_workspace: Callable[[], Workspace]
) -> None:
    images = drawn / "images"
    damaged = sorted(images.glob("pug_*.jpg"))[0]
    damaged.write_bytes(damaged.read_bytes()[:300])
    Image.new("RGB", (9, 9)).save(images / "nobody_1.jpg")
    first, second = sorted(images.glob("beagle_*.jpg"))[0], sorted(images.glob("beagle_*.jpg"))[-1]
    second.write_bytes(first.read_bytes())
    workspace = new_workspace()
    point_at(workspace, pack(drawn, tmp_path))
    workspace.run("dvc", "repro")
    data = workspace.path / "data/oxford-iiit-pet"
    catalog = pd.read_parquet(data / "catalog.parquet").set_index("image_id")
    assert "runcated" in str(catalog.loc[damaged.stem, "status"])
    assert catalog.loc["nobody_1", "status"] == "it has no label"
    splits = pd.read_parquet(data / "splits.parquet")
    assert not {damaged.stem, "nobody_1"} & set(splits["image_id"])
    summary = json.loads((data / "catalog.json").read_text())
    assert (summary["listed"], summary["usable"]) == (25, 23)
    assert [first.stem, second.stem] in summary["duplicates"]
    page = (workspace.path / "reports/index.html").read_text()
    assert damaged.stem in page
    assert "it has no label" in page


class TestBadInput:
    """One or two lines, an exit code, and what stood before is untouched."""

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

    def test_wrong_md5_leaves_what_stood_before(
        self, workspace: Workspace, drawn: Path, tmp_path: Path
    ) -> None:
        archives = pack(drawn, tmp_path)
        point_at(workspace, archives)
        workspace.run("dvc", "repro", "download@oxford-iiit-pet")
        before = sorted((workspace.path / "data/oxford-iiit-pet/raw/images").iterdir())
        workspace.set_params(f"datasets.oxford-iiit-pet.images.md5={'f' * 32}")
        output = workspace.run("dvc", "repro", "download@oxford-iiit-pet", fails=True)
        assert "f" * 32 in output
        assert md5(archives["images"]) in output
        assert "Traceback" not in output
        assert sorted((workspace.path / "data/oxford-iiit-pet/raw/images").iterdir()) == before

    def test_a_label_without_an_image(self, workspace: Workspace, drawn: Path, tmp_path: Path) -> None:
        with (drawn / "annotations" / "test.txt").open("a") as file:
            file.write("pug_4711 27 2 15\n")
        point_at(workspace, pack(drawn, tmp_path))
        workspace.run("python", "-m", "stages.download", "oxford-iiit-pet")
        assert "pug_4711 has no image" in self.fails(workspace, "stages.catalog", "oxford-iiit-pet")

    def test_a_class_with_too_few_images(self, workspace: Workspace, drawn: Path, tmp_path: Path) -> None:
        file = drawn / "annotations" / "trainval.txt"
        lines = file.read_text().splitlines()
        pugs = [line for line in lines if line.startswith("pug_")]
        file.write_text("\n".join(line for line in lines if line not in pugs[1:]) + "\n")
        point_at(workspace, pack(drawn, tmp_path))
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
            key, value = assignment.split("=")
            line = next(each for each in text.splitlines() if f"  {key.split('.')[1]}: [" in each)
            (workspace.path / "params.yaml").write_text(text.replace(line, f"  {key.split('.')[1]}: {value}"))
        assert message in self.fails(workspace, "stages.split", "oxford-iiit-pet")


LIGHT = ("download", "catalog", "split", "report")


@pytest.mark.parametrize("door", LIGHT)
def test_light_doors_start_without_torch(door: str) -> None:
    code = f"import sys, stages.{door}; sys.exit('torch' in sys.modules or 'torchvision' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, env={**os.environ})
