"""Stages run by hand over outputs that are hard links into DVC's cache: none may write through them."""

import hashlib
import shlex
from pathlib import Path

from tests.conftest import BACKBONE, HEADS, Workspace

# One process for all, because importing torch takes longer than most of these stages.
RUN = """
import runpy, shlex, sys
for words in map(shlex.split, sys.argv[1:]):
    module, *arguments = words
    sys.argv = [f"{module.rpartition('.')[2]}.py", *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
"""


def damaged(workspace: Workspace) -> list[str]:
    """The objects of DVC's cache whose content is not what their name, an md5, says."""
    objects = [each for each in (workspace.path / ".dvc/cache/files/md5").rglob("*") if each.is_file()]
    assert len(objects) > 100
    return [
        str(each)
        for each in objects
        if hashlib.md5(each.read_bytes()).hexdigest() != each.parent.name + each.name.removesuffix(".dir")
    ]


def linked(workspace: Workspace) -> set[Path]:
    """The outputs' files that are hard links."""
    folders = "attacks code curves data evaluations features ideals models outliers transfers tricks unknown"
    files = [
        each for folder in folders.split() for each in (workspace.path / folder).rglob("*") if each.is_file()
    ]
    return {each for each in files if each.stat().st_nlink > 1}


def commands(workspace: Workspace) -> list[str]:
    """Every stage's command for one head, in the order of the graph."""
    lines = workspace.run("dvc", "repro", "--force", "--dry").splitlines()
    found = [line.removeprefix("> python -m ") for line in lines if line.startswith("> python -m ")]
    return [each for each in found if not set(shlex.split(each)) & set(HEADS) - {"prototype"}]


def test_every_stage_leaves_the_cache_as_it_was(sample: Workspace) -> None:
    """With other pictures and another seed, so that every output differs from the cached one."""
    assert len(linked(sample)) > 300
    sample.set_params("seed=8", "datasets.sample.seed=9", "run.heads=[prototype]")
    todo = commands(sample)
    assert {each.split()[0].removeprefix("stages.") for each in todo} == {
        each.stem
        for each in (sample.path / "stages").glob("[a-z]*.py")
        if each.stem not in ("params", "listing", "export", "finetune")
    }
    embeddings = sample.path / "data/sample/embeddings" / BACKBONE / "shards.json"
    before = embeddings.read_bytes()
    sample.run("python", "-c", RUN, *todo)
    assert embeddings.read_bytes() != before
    assert damaged(sample) == []
