"""docs/schedules.md: a conflict in dvc.lock is settled by its recipe."""

import re

from tests.conftest import ROOT, stages_run
from tests.flows.conftest import Toy


def test_two_branches_that_changed_the_same_stages_are_merged(toy: Toy) -> None:
    toy.run("dvc", "repro")
    toy.commit("results")
    for branch, seed in (("theirs", 2), ("ours", 3)):
        toy.run("git", "checkout", "-q", "-b", branch, "main")
        toy.set(seed)
        toy.run("dvc", "repro")
        toy.commit(branch)
    merged = toy.run("git", "merge", "theirs", fails=True)
    assert "Merge conflict in dvc.lock" in merged
    toy.set(2)  # the conflict in params.yaml, settled by hand: theirs

    text = (ROOT / "docs/schedules.md").read_text().partition("## When branches meet")[2]
    block = re.search(r"```sh\n(.*?)```", text, re.DOTALL)
    assert block is not None
    commands = (
        block[1].replace("'evaluations/*'", "metrics.json").replace("git commit", "git commit --no-edit")
    )
    output = toy.run("bash", "-ec", commands)
    assert stages_run(output) == set()  # all of it was run on one of the branches
    assert toy.run("git", "show", "HEAD:dvc.lock") == toy.run("git", "show", "theirs:dvc.lock")
    assert "up to date" in toy.run("dvc", "status")
    assert toy.run("git", "status", "--porcelain") == ""
