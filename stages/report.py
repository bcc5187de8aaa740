"""Collect every evaluation and attack of the run into one page, reports/index.html, and reports/summary.md.

The same results and commit give the same bytes. Times differ from run to run, so they lie beside the page
in reports/timings.js, which the page shows where it finds it.
"""

import itertools
import json
import subprocess
from pathlib import Path

from stages import params
from stages.door import TIMINGS, open_door
from stages.files import read_json, whole
from stages.params import Run
from stages.pictures import page, summary
from stages.pictures.attack import read_attacks, read_transfers
from stages.pictures.evaluation import read_all
from stages.pictures.sights import read_sights

EVALUATIONS = Path("evaluations")
ATTACKS = Path("attacks")
TRANSFERS = Path("transfers")
REPORTS = Path("reports")
CODE = ("params.yaml", "dvc.yaml", "stages")


def main() -> None:
    """Write the page, the summary, and the times beside them."""
    run = params.read("run", Run)
    evaluations = read_all(EVALUATIONS, list(itertools.product(run.datasets, run.backbones, run.heads)))
    attacks = read_attacks(ATTACKS, list(itertools.product(run.datasets, run.backbones, run.heads)))
    transfers = read_transfers(TRANSFERS, list(itertools.product(run.datasets, run.heads)))
    sights = read_sights(Path(), evaluations)
    code = commit()
    write("index.html", page.render(evaluations, attacks, transfers, sights, code))
    write("summary.md", summary.render(evaluations, attacks, code))
    write("timings.js", timings())


def write(name: str, text: str) -> None:
    """A file in reports/, whole or not there."""
    with whole(REPORTS / name) as temporary:
        temporary.write_text(text, "utf-8")


def commit() -> str:
    """The git commit in the working folder, and whether code or parameters differ from it."""
    try:
        head = _git("rev-parse", "HEAD")
        changed = _git("status", "--porcelain", "--", *CODE)
    except (FileNotFoundError, subprocess.CalledProcessError):
        return "not in a git repository"
    return head + (", and changes to code or parameters that are not committed" if changed else "")


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True).stdout.strip()


def timings() -> str:
    """A script that sets ``window.timings`` to what every door noted about its last run."""
    noted = [read_json(file) for file in sorted(TIMINGS.glob("*.json"))]
    return f"window.timings = {json.dumps(noted, indent=1)};\n"


if __name__ == "__main__":
    open_door(main)
