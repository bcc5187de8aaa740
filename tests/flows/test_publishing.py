"""What the flow does after a successful run: commits and pushes."""

import re
import shutil
from pathlib import Path

import pytest

from tests.flows.conftest import Toy, eventually, incomplete


class TestPublishing:
    @pytest.fixture
    def published(self, toy: Toy) -> Toy:
        toy.flow("--commit-to", "nightly")
        return toy

    def git(self, toy: Toy, *words: str) -> str:
        return toy.run("git", *words).strip()

    def test_commit_on_another_branch(self, published: Toy) -> None:
        assert self.git(published, "rev-parse", "--abbrev-ref", "HEAD") == "main"
        changed = self.git(published, "diff", "--name-only", "main", "nightly").splitlines()
        assert changed == ["dvc.lock", "metrics.json"]
        assert self.git(published, "rev-parse", "nightly^@") == self.git(published, "rev-parse", "main")
        assert (
            self.git(published, "show", "nightly:dvc.lock")
            == (published.path / "dvc.lock").read_text().strip()
        )
        assert published.last_run()["name"] in self.git(published, "log", "-1", "--format=%s", "nightly")

    def test_the_next_night_builds_on_the_last(self, published: Toy) -> None:
        first = self.git(published, "rev-parse", "nightly")
        assert "nightly already has these results" in published.flow("--commit-to", "nightly")
        assert self.git(published, "rev-parse", "nightly") == first
        published.set(seed=2)
        self.git(published, "commit", "-qm", "another seed", "params.yaml")
        published.flow("--commit-to", "nightly")
        parents = self.git(published, "rev-parse", "nightly^@").split()
        assert parents == [first, self.git(published, "rev-parse", "main")]
        assert "seed: 2" in self.git(published, "show", "nightly:params.yaml")

    def test_commit_on_the_branch_that_is_checked_out(self, toy: Toy) -> None:
        toy.flow("--commit-to", "main")
        assert self.git(toy, "status", "--porcelain") == ""
        assert self.git(toy, "show", "--name-only", "--format=", "HEAD").splitlines() == [
            "dvc.lock",
            "metrics.json",
        ]

    def test_with_changed_params_these_are_committed_too(self, toy: Toy) -> None:
        toy.flow("--commit-to", "nightly", "--set", "seed=7")
        assert "seed: 7" in self.git(toy, "show", "nightly:params.yaml")

    def test_not_where_head_moved_during_the_run(self, toy: Toy) -> None:
        toy.hold("fetch")
        flow = toy.start("--commit-to", "nightly")
        eventually(lambda: incomplete(toy))
        head = self.git(toy, "rev-parse", "HEAD")
        self.git(toy, "commit", "-q", "--allow-empty", "-m", "meanwhile")
        toy.release("fetch")
        output, _ = flow.communicate(timeout=120)
        assert flow.returncode == 1
        assert f"HEAD is no longer {head[:7]}, as it was when the run began" in output
        assert "nightly" not in self.git(toy, "branch")

    def test_an_invalid_name_of_a_branch_is_reported_before_anything_runs(self, toy: Toy) -> None:
        assert "'a b' is not a valid name of a branch" in toy.flow("--commit-to", "a b", fails=True)
        assert not toy.outputs()

    @pytest.mark.parametrize("file", ["toy.py", "new.py"])
    def test_never_on_a_dirty_tree(self, toy: Toy, file: str) -> None:
        with (toy.path / file).open("a") as changed:
            changed.write("# changed\n")
        output = toy.flow("--commit-to", "nightly", fails=True)
        assert f"there are uncommitted changes ({file})" in output
        assert not toy.outputs()  # nothing ran
        assert "nightly" not in self.git(toy, "branch")

    def test_push_where_a_remote_is_configured(self, toy: Toy, tmp_path: Path) -> None:
        assert "no DVC remote is configured" in toy.flow("--push")
        toy.run("dvc", "remote", "add", "--default", "store", str(tmp_path / "store"))
        assert re.search(r"pushed [1-9]\d* files to the remote store", toy.flow("--push"))
        shutil.rmtree(toy.path / ".dvc/cache")
        shutil.rmtree(toy.path / "right")
        toy.run("dvc", "pull")
        assert (toy.path / "right/2.txt").exists()
