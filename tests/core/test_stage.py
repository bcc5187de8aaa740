"""The command line of a stage: its output, its exit status, and its outputs after it fails or stops."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pets.core.stage import FLOW, TIMINGS
from tests.conftest import ROOT, Workspace

DVC_YAML = """
stages:
  work:
    cmd: python work.py ${mode}
    deps: [work.py]
    outs: [out]
    metrics: [metrics.json: {cache: false}]
"""
WORK = '''
"""A stage whose only argument says how it ends."""
import resource
import time
from pathlib import Path

from pets.core.errors import TemporaryError, UserError
from pets.core.files import atomic, write_json
from pets.core.stage import run_stage


def main(mode: str) -> None:
    """Write two outputs, the second only once the first is complete."""
    with atomic(Path("out")) as folder:
        folder.mkdir()
        (folder / "file").write_text(mode)
        if mode == "error":
            raise UserError("the disk is full; make room.")
        if mode == "full":
            resource.setrlimit(resource.RLIMIT_FSIZE, (3, 3))
            (folder / "large").write_text("more than three bytes")
        if mode == "network":
            raise TemporaryError("no network.")
        if mode == "bug":
            raise ValueError("a mistake in the code")
        if mode == "slow":
            time.sleep(60)
    write_json(Path("metrics.json"), {"letters": len(mode)})


run_stage(main)
'''
HINT = "`dvc checkout work` brings back its last outputs, and `git restore` those that git tracks."


class Project(Workspace):
    """A DVC project of one stage, ``work``."""

    def set_mode(self, mode: str) -> None:
        (self.path / "params.yaml").write_text(f"mode: {mode}\n")

    def outputs(self) -> dict[str, str]:
        """The files that the stage left, complete or not."""
        files = [each for each in self.path.rglob("*") if each.is_file() and ".dvc" not in each.parts]
        own = {
            each for each in files if each.parent.name in {"out", ".out.part"} or each.name == "metrics.json"
        }
        return {each.relative_to(self.path).as_posix(): each.read_text() for each in own}


@pytest.fixture(scope="module")
def committed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """The project after its first run, which succeeded, everything committed."""
    project = Project(tmp_path_factory.mktemp("project"))
    (project.path / ".dvc").mkdir()
    shutil.copy(ROOT / ".dvc" / "config", project.path / ".dvc")
    for name, content in {"dvc.yaml": DVC_YAML, "work.py": WORK, ".gitignore": "/out\n"}.items():
        (project.path / name).write_text(content)
    project.set_mode("good")
    project.commit("the project")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        project.run("dvc", "repro")
        project.commit("its results")
        yield project


@pytest.fixture
def project(committed: Project, tmp_path: Path) -> Project:
    """A copy of it."""
    shutil.copytree(committed.path, tmp_path / "copy")
    return Project(tmp_path / "copy")


GOOD = {"out/file": "good", "metrics.json": '{\n  "letters": 4\n}\n'}


def interrupted(project: Project, *command: str) -> tuple[int, str]:
    """The exit status and the output of a command that Ctrl-C stops once the stage has begun to write."""
    process = subprocess.Popen(
        command,
        cwd=project.path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while not (project.path / ".out.part/file").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # the whole group, as a terminal does
    output, _ = process.communicate(timeout=60)
    return process.returncode, output


class TestRunByHand:
    def test_its_arguments_are_those_of_main(self) -> None:
        project = Workspace(ROOT)
        assert "usage: python -m stages.embed [-h] dataset backbone" in project.run(
            "python", "-m", "stages.embed", "--help"
        )
        assert "required: dataset" in project.run("python", "-m", "stages.split", fails=True)

    def test_it_records_its_time_and_memory(self, project: Project) -> None:
        shutil.rmtree(project.path / TIMINGS)
        project.run("python", "work.py", "again")
        recorded = json.loads((project.path / TIMINGS / "work@again.json").read_text())
        assert (recorded["stage"], recorded["mode"]) == ("work", "again")
        assert recorded["seconds"] >= 0
        assert recorded["peak_mib"] > 0

    def test_a_user_error_is_one_line(self, project: Project) -> None:
        assert project.run("python", "work.py", "error", fails=True) == "work: the disk is full; make room.\n"
        assert project.outputs() == GOOD

    def test_a_full_disk_is_one_line_and_leaves_nothing(self, project: Project) -> None:
        output = project.run("python", "work.py", "full", fails=True)
        assert output == f"work: the disk is full at {project.path}; free some space and run again.\n"
        assert project.outputs() == GOOD

    @pytest.mark.parametrize(("mode", "status"), [("error", 1), ("full", 1), ("network", os.EX_TEMPFAIL)])
    def test_its_exit_status_says_whether_to_try_again(
        self, project: Project, mode: str, status: int
    ) -> None:
        done = subprocess.run([sys.executable, "work.py", mode], cwd=project.path, capture_output=True)
        assert done.returncode == status

    def test_ctrl_c_leaves_the_earlier_outputs_and_no_traceback(self, project: Project) -> None:
        status, output = interrupted(project, sys.executable, "work.py", "slow")
        assert status == 1
        assert output == "work: stopped; earlier outputs are untouched\n"
        assert project.outputs() == GOOD


class TestUnderDvcRepro:
    @pytest.mark.parametrize(
        ("mode", "message"),
        [
            ("error", "\nwork: the disk is full; make room."),
            ("network", "\nwork: no network."),
            ("bug", "\nValueError: a mistake in the code"),
        ],
    )
    def test_a_failure_says_how_to_get_the_earlier_outputs_back(
        self, project: Project, mode: str, message: str
    ) -> None:
        project.set_mode(mode)
        output = project.run("dvc", "repro", fails=True)
        assert f"{message}\n{HINT}\n" in output
        assert project.outputs() == {}  # DVC deleted them before it ran the stage
        self.follow_the_hint(project)

    def test_so_does_ctrl_c(self, project: Project) -> None:
        project.set_mode("slow")
        status, output = interrupted(project, "dvc", "repro")
        assert status != 0
        assert f"\nwork: stopped\n{HINT}\n" in output
        assert "Traceback" not in output
        assert project.outputs() == {}
        self.follow_the_hint(project)

    def follow_the_hint(self, project: Project) -> None:
        project.run("dvc", "checkout", "work")
        project.run("git", "restore", "metrics.json", "params.yaml")
        assert project.outputs() == GOOD
        assert "up to date" in project.run("dvc", "status")

    def test_there_is_no_such_line_where_there_are_no_earlier_outputs(self, project: Project) -> None:
        (project.path / "dvc.lock").unlink()
        project.set_mode("error")
        output = project.run("dvc", "repro", fails=True)
        assert "\nwork: the disk is full; make room.\n" in output
        assert "dvc checkout" not in output

    def test_nor_under_the_flow_which_restores_them_itself(
        self, project: Project, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(FLOW, str(project.path))
        project.set_mode("error")
        output = project.run("dvc", "repro", fails=True)
        assert "\nwork: the disk is full; make room.\n" in output
        assert "dvc checkout" not in output
