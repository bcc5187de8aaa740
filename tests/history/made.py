"""A repository of commits that the pipeline made, on the sample's drawn pets, quickly.

Its stages and its dvc.yaml are the project's own, as far as `evaluate` and without dependencies on pets/,
which no test changes. DVC decides which stages run, and hashes, caches and locks what they write. Only, a
stage's file in the repository is run in the test's process, since a new one takes seconds to import PyTorch.
"""

import contextlib
import logging
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from dvc.repo import Repo
from dvc.utils.serialize import parse_yaml
from ruamel.yaml import YAML
from safetensors.torch import save_file

from pets.core import params
from tests.conftest import Workspace

STAGES = ("listing", "code", "backbone", "download", "catalog", "split", "embed", "train", "evaluate")
UNTRAINED = "timm/resnet10t.c3_in1k"  # the made repository has weights for it that nobody trained
SPLIT, EMBED, TRAIN, EVALUATE = (f"stages/{name}.py" for name in ("split", "embed", "train", "evaluate"))
RIGHT, BUGGY = 'in ("train", "val"))', 'in ("val", "val"))'  # in stages/train.py
SECTIONS = {"run", "folders", "seed", "datasets", "archives", "split", "embed", "train", "evaluate", "audit"}
SETTINGS = (
    "run.datasets=[sample]",
    f"run.backbones=[{UNTRAINED}]",
    "run.heads=[linear, prototype]",
    "datasets.sample.per_breed=6",
    "datasets.sample.size=96",
    "embed.views=1",
    "evaluate.bootstrap=200",
    "evaluate.mistakes=1",
    "train.linear.penalties=[0.01, 0.1]",
)


class Made(Workspace):
    """The repository. A commit has what the stages write with its parameters and code."""

    @classmethod
    def of(cls, project: Workspace) -> "Made":
        """Without a commit, in a copy of the project that nothing else uses."""
        made = cls(project.path)
        made.run("git", "update-ref", "-d", "HEAD")
        with made.changing("dvc.yaml") as content:
            content["stages"] = {name: _lean(content["stages"][name]) for name in STAGES}
        with made.changing("params.yaml") as content:
            for unread in content.keys() - SECTIONS:
                del content[unread]
            content["datasets"] = {"sample": content["datasets"]["sample"]}
        made.set(*SETTINGS)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            name = UNTRAINED.removeprefix("timm/")
            weights = timm.create_model(name).state_dict()
        (made.path / "weights").mkdir()
        save_file(weights, made.path / "weights" / f"{name}.safetensors")
        return made

    @contextlib.contextmanager
    def changing(self, file: str) -> Iterator[Any]:
        """The content of a YAML file, which is written afterwards."""
        yaml = YAML()
        content = yaml.load(self.path / file)
        yield content
        yaml.dump(content, self.path / file)

    @property
    def shas(self) -> list[str]:
        """Of all commits, the earliest first."""
        return self.run("git", "rev-list", "--reverse", "HEAD").split()

    def copy(self, path: Path) -> "Made":
        """A copy at ``path``, DVC's cache included, to be changed."""
        return Made(super().copy(path).path)

    def set(self, *assignments: str) -> None:
        """Change parameters: ``key=value``, with dotted keys."""
        with contextlib.chdir(self.path):
            params.override(list(assignments))

    def edit(self, file: str, old: str, new: str) -> None:
        """Replace a part of a file of code."""
        text = (self.path / file).read_text()
        assert text.count(old) == 1
        (self.path / file).write_text(text.replace(old, new))

    def append(self, file: str, line: str) -> None:
        """Add a line to a file, which may be new."""
        with (self.path / file).open("a") as opened:
            opened.write(f"{line}\n")

    def rename(self, old: str, new: str) -> None:
        """Give a data set another name, its folder too: so nothing is embedded again."""
        entry = YAML(typ="safe").load(self.path / "params.yaml")["datasets"][old]
        self.set(f"datasets.{new}={entry}", f"run.datasets=[{new}]")
        (self.path / "data" / old).rename(self.path / "data" / new)

    def repro(self) -> None:
        """Run what DVC finds changed."""
        logging.getLogger("dvc").setLevel(logging.WARNING)
        with (
            contextlib.chdir(self.path),
            pytest.MonkeyPatch.context() as patch,
            Repo() as repo,
        ):
            patch.setattr("dvc.stage.run.cmd_run", _in_this_process)
            # DVC would keep the comments of dvc.lock, which has none, and take half a second for it.
            patch.setattr("dvc.utils.serialize._yaml.parse_yaml_for_update", parse_yaml)
            ran = repo.reproduce(
                all_pipelines=True,  # dvc.yaml is read once
                repro_fn=lambda stage, **options: stage.reproduce(**options),
            )
            if ran:  # dvc.lock is written once, not after each stage
                ran[0].dvcfile.dump_stages(ran, update_pipeline=False)

    def commit(self, message: str) -> None:
        """Run what DVC finds changed, and commit everything."""
        self.repro()
        super().commit(message)


def _lean(stage: Any) -> Any:
    """A stage without what no test changes or reads: DVC would hash and write it for every commit."""
    stage.pop("plots", None)
    stage["deps"] = [each for each in stage.get("deps", []) if not each.startswith("pets/")]
    return stage


def _in_this_process(stage: Any, **_: Any) -> None:
    """Run a stage's command, ``python -m stages.<stage> <words>``, by its file in the working folder."""
    _, _, module, *words = stage.cmd.split()
    runpy.run_path(f"{module.replace('.', '/')}.py")["main"](*words)
