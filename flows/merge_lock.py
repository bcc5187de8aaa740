"""Merge dvc.lock stage by stage, as git's merge driver for it.

Of each stage the side that changed it is taken. One that both sides changed in different ways is left out and
named, so that `dvc repro` restores it from its run cache, or runs it.
"""

import argparse
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dvc.utils.serialize import ParseError, dump_yaml, load_yaml

from pets.core.errors import UserError
from pets.core.stage import errors_reported

DRIVERS = {
    "dvc-lock": f"{shlex.quote(sys.executable)} -m flows.merge_lock %O %A %B",
    "dvc-metrics": "true",  # keeps ours, since `dvc repro` writes what both changed again
}
ABSENT: dict[str, Any] = {}  # a stage that a side does not have


def merge(
    base: Mapping[str, Any], ours: Mapping[str, Any], theirs: Mapping[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """The merged stages, by name, in our order and then theirs; and the names of those that are left out."""
    merged, left_out = {}, []
    for name in dict.fromkeys([*ours, *theirs]):
        before, mine, other = (stages.get(name, ABSENT) for stages in (base, ours, theirs))
        if mine != other and before not in (mine, other):
            left_out.append(name)
        elif taken := other if mine == before else mine:
            merged[name] = taken
    return merged, left_out


def merge_files(base: Path, ours: Path, theirs: Path) -> list[str]:
    """Write the merge into ``ours``; returns the stages that are left out. UserError where a file is none."""
    merged, left_out = merge(*map(_stages, (base, ours, theirs)))
    dump_yaml(ours, {"schema": "2.0", "stages": merged})
    return left_out


def _stages(file: Path) -> dict[str, Any]:
    try:
        content = load_yaml(file)
    except (ParseError, UnicodeDecodeError):
        raise UserError("one side's dvc.lock is not valid YAML; settle it by hand.") from None
    if content and (not isinstance(content, dict) or content.get("schema") != "2.0"):
        raise UserError("one side's dvc.lock is of another version of DVC; settle it by hand.")
    stages: dict[str, Any] = content.get("stages") or {}
    return stages


def install() -> None:
    """Let git merge dvc.lock by this module, in this repository; .gitattributes says which files."""
    for name, command in DRIVERS.items():
        done = subprocess.run(
            ["git", "config", f"merge.{name}.driver", command], capture_output=True, text=True
        )
        if done.returncode:
            raise UserError(f"git config failed: {done.stderr.strip()}")


def main(words: Sequence[str]) -> None:
    """The command line: what git calls, or ``--install``."""
    parser = argparse.ArgumentParser(prog="python -m flows.merge_lock", description=__doc__)
    parser.add_argument(
        "--install", action="store_true", help="write the git configuration of this repository"
    )
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="base, ours and theirs, from git")
    options = parser.parse_args(words)
    with errors_reported("merge_lock"):
        if options.install:
            install()
            print("git merges dvc.lock stage by stage now, in this clone.")
        elif len(options.files) != 3:
            parser.error("give --install, or the three files that git gives")
        elif left_out := merge_files(*options.files):
            names = ", ".join(left_out)
            print(f"dvc.lock: changed on both sides, so `dvc repro` decides: {names}", file=sys.stderr)


if __name__ == "__main__":
    main(sys.argv[1:])
