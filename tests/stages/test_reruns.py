"""What a change re-runs: asked of DVC, on a finished run of the synthetic sample."""

import json
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import BACKBONE, HEADS, Workspace, md5, pack, stages_run

OF_A_HEAD = (
    "train",
    "curve",
    "unknown",
    "evaluate",
    "attack",
    "ideal_breeds",
    "transfer",
    "gradcam",
    "without_suspects",
)


def changed(workspace: Workspace) -> set[str]:
    """The stages that `dvc status` says have changed."""
    return set(json.loads(workspace.run("dvc", "status", "--json")))


def edit(workspace: Workspace, file: str, old: str = "", new: str = "\n# edited\n") -> None:
    """Replace ``old``, which must be there, by ``new``; without ``old``, append."""
    path = workspace.path / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1) if old else text + new)


def of_head(head: str) -> set[str]:
    return {f"{stage}@sample-{BACKBONE}-{head}" for stage in OF_A_HEAD}


class TestEditedCode:
    def test_nothing(self, sample: Workspace) -> None:
        assert changed(sample) == set()

    def test_a_new_head_re_runs_nothing_that_exists(self, sample: Workspace) -> None:
        shutil.copy(sample.path / "pets/heads/prototype.py", sample.path / "pets/heads/centroid.py")
        edit(sample, "params.yaml", "  prototype:\n", "  centroid:\n    centred: [true]\n  prototype:\n")
        assert changed(sample) == set()
        sample.set_params(f"run.heads=[{', '.join(HEADS)}, centroid]")
        assert changed(sample) == of_head("centroid") | {"report"}  # which shows one head more
        output = sample.run(
            "dvc", "repro", f"evaluate@sample-{BACKBONE}-centroid", f"evaluate@sample-{BACKBONE}-linear"
        )
        assert stages_run(output) == {
            f"{stage}@sample-{BACKBONE}-centroid" for stage in ("train", "evaluate")
        }

    def test_a_head_re_runs_its_own_stages(self, sample: Workspace) -> None:
        edit(sample, "pets/heads/linear.py")
        own = of_head("linear") - {
            f"without_suspects@sample-{BACKBONE}-linear"
        }  # which reads predictions alone
        assert changed(sample) == own | {f"audit@sample-{BACKBONE}"}  # which doubts labels by that head

    @pytest.mark.parametrize("module", ["progress", "errors", "names", "stage"])
    def test_what_cannot_change_an_output_re_runs_nothing(self, sample: Workspace, module: str) -> None:
        edit(sample, f"pets/core/{module}.py")
        assert changed(sample) == set()

    def test_a_backbone_re_runs_what_uses_it(self, sample: Workspace) -> None:
        edit(sample, "pets/backbones/torchvision.py")
        assert changed(sample) == {f"backbone@{BACKBONE}"}
        assert stages_run(sample.run("dvc", "repro")) == {f"backbone@{BACKBONE}"}


class TestEditedSources:
    @pytest.fixture
    def two_sources(
        self, finished: Workspace, new_workspace: Callable[[], Workspace], tmp_path: Path
    ) -> Workspace:
        """Two data sets of two sources, up to their splits."""
        workspace = new_workspace()
        archives = pack(finished.path / "data/sample/raw", tmp_path)
        workspace.set_params(
            "run.datasets=[sample, oxford-iiit-pet]",
            f"run.backbones=[{BACKBONE}]",
            "run.heads=[prototype]",
            "datasets.sample.per_breed=4",
            "datasets.sample.size=64",
            *(f"datasets.oxford-iiit-pet.{name}.url={file}" for name, file in archives.items()),
            *(f"datasets.oxford-iiit-pet.{name}.md5={md5(file)}" for name, file in archives.items()),
        )
        workspace.run("dvc", "repro", "split")
        return workspace

    def test_a_source_re_runs_its_own_data_sets(self, two_sources: Workspace) -> None:
        for file in ("pets/sources/sample.py", "pets/sources/synthetic_pets/drawing.py"):
            edit(two_sources, file)
            ran = stages_run(two_sources.run("dvc", "repro", "split"))
            assert ran == {"code", "download@sample", "catalog@sample"}


class TestParameters:
    def test_there_and_back_runs_nothing_the_second_time(self, sample: Workspace, tmp_path: Path) -> None:
        """A -> B -> A, and the same in a fresh clone that pulled DVC's run cache."""
        a, b = "train.prototype.centred=[false, true]", "train.prototype.centred=[true]"
        sample.run("dvc", "remote", "add", "-d", "local", str(tmp_path / "remote"))
        sample.set_params(b)
        assert stages_run(sample.run("dvc", "repro")) >= {f"train@sample-{BACKBONE}-prototype", "report"}
        results = contents(sample)
        for parameters in (a, b):
            sample.set_params(parameters)
            assert stages_run(sample.run("dvc", "repro")) == set()
            assert (contents(sample) == results) == (parameters == b)
            sample.run("dvc", "push", "--run-cache")
        sample.commit("b, and a remote")

        subprocess.run(["git", "clone", "-q", sample.path, tmp_path / "clone"], check=True)
        clone = Workspace(tmp_path / "clone")
        clone.run("dvc", "pull", "--run-cache")
        for parameters in (a, b):
            clone.set_params(parameters)
            assert stages_run(clone.run("dvc", "repro", "--pull")) == set()
        assert contents(clone) == results

    def test_equal_inputs_give_an_equal_page(self, sample: Workspace) -> None:
        page, summary = (
            (sample.path / "reports" / name).read_bytes() for name in ("index.html", "summary.md")
        )
        (sample.path / "notes.md").write_text("unrelated")
        sample.commit("another commit")
        sample.run("python", "-m", "stages.report")
        assert (sample.path / "reports/index.html").read_bytes() == page
        assert (sample.path / "reports/summary.md").read_bytes() == summary


def contents(workspace: Workspace) -> dict[str, bytes]:
    """Metrics, models and the page."""
    files = [*workspace.path.glob("evaluations/*/*/*/metrics.json"), *workspace.path.glob("models/*/*/*/*")]
    files.append(workspace.path / "reports/index.html")
    return {str(file.relative_to(workspace.path)): file.read_bytes() for file in files}


class TestStaleFeatures:
    def test_a_changed_pixel_path_computes_every_vector_again(self, sample: Workspace) -> None:
        """And an edit that changes no pixel computes none."""
        edits = [
            ("pets/images/preprocessing.py", "(self.resize, side) if", "(self.resize, side + 9) if"),
            (
                "pets/images/decoding.py",
                'Image.new("RGBA", with_alpha.size, "white")',
                'Image.new("RGBA", with_alpha.size)',
            ),
            ("pets/backbones/efficientnet_lite.py", ".mean((2, 3))", ".amax((2, 3))"),
        ]
        for file, *_ in edits:
            edit(sample, file)
        assert "0 images embedded, 222 known before." in sample.run("dvc", "repro", "embed")
        for file, old, new in edits:
            edit(sample, file, old, new)
            output = sample.run("dvc", "repro", "embed")
            assert "everything is computed again: the features of fixed pictures differ by" in output, file
            assert "222 images embedded, 0 known before." in output, file


class TestDownloads:
    def test_nothing_is_fetched_twice(
        self, finished: Workspace, new_workspace: Callable[[], Workspace], tmp_path: Path
    ) -> None:
        """Not when code changes, nor when data/ and DVC's whole cache are gone."""
        archives = pack(finished.path / "data/sample/raw", tmp_path)
        requests: list[str] = []

        class Handler(SimpleHTTPRequestHandler):
            def __init__(self, *arguments: Any) -> None:
                super().__init__(*arguments, directory=str(tmp_path))

            def log_request(self, *_: object) -> None:
                requests.append(self.path)

        with serving(Handler) as address:
            workspace = new_workspace()
            workspace.set_params(
                "run.datasets=[oxford-iiit-pet]",
                f"run.backbones=[{BACKBONE}]",
                *(
                    f"datasets.oxford-iiit-pet.{name}.url={address}/{file.name}"
                    for name, file in archives.items()
                ),
                *(f"datasets.oxford-iiit-pet.{name}.md5={md5(file)}" for name, file in archives.items()),
            )
            workspace.run("dvc", "repro", "catalog")
            assert sorted(requests) == ["/annotations.tar.gz", "/images.tar.gz"]
            edit(workspace, "pets/sources/oxford_iiit_pet.py")
            assert "download@oxford-iiit-pet" in stages_run(workspace.run("dvc", "repro", "catalog"))
            for gone in ("data", ".dvc/cache"):
                shutil.rmtree(workspace.path / "data", ignore_errors=True)
                shutil.rmtree(workspace.path / gone, ignore_errors=True)
                workspace.run("dvc", "repro", "catalog")
            assert len(requests) == 2
            new = workspace.run("git", "status", "--porcelain", "--untracked-files=all").splitlines()
            assert {line[3:] for line in new} <= {
                "params.yaml",
                "pets/sources/oxford_iiit_pet.py",
                "dvc.lock",
            }


@contextmanager
def serving(handler: type[SimpleHTTPRequestHandler]) -> Iterator[str]:
    """A server on loopback; yields its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
