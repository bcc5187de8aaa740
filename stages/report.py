"""Collect all results of the run into one page, reports/index.html, and a summary, reports/summary.md.

The same results give the same bytes. What differs from run to run, the commit, the date and the times, is
beside the page in reports/run.js, where the page finds it.
"""

import itertools
from pathlib import Path

from pets.core import params
from pets.core.files import write_text
from pets.core.params import Run
from pets.core.stage import TIMINGS, run_stage
from pets.report import page, runs, summary
from pets.report.attacks import read_attacks, read_transfers
from pets.report.audit import read_audits
from pets.report.curves import read_curves
from pets.report.evaluation import read_all
from pets.report.finetuning import read_finetuned
from pets.report.galleries import read_galleries
from pets.report.tricks import read_tricks
from pets.report.unknown import read_unknown

REPORTS = Path("reports")


def main() -> None:
    """Write the page, the summary, and the entry of this run beside them."""
    run = params.read("run", Run)
    combinations = list(itertools.product(run.datasets, run.backbones, run.heads))
    evaluations = read_all(Path("evaluations"), combinations)
    transfers = read_transfers(Path("transfers"), combinations)
    attacks = read_attacks(Path("attacks"), combinations, transfers)
    curves = read_curves(Path("curves"), combinations)
    tricks = read_tricks(Path("tricks"), list(itertools.product(run.datasets, run.backbones)))
    unknown = read_unknown(Path("unknown"), combinations)
    audits = read_audits(Path(), combinations)
    finetuned = read_finetuned(Path("backbones"), run.finetune, evaluations)
    galleries = read_galleries(Path(), evaluations)
    html, page_id = page.render(
        evaluations, curves, tricks, unknown, audits, finetuned, attacks, transfers, galleries
    )
    write_text(REPORTS / "index.html", html)
    write_text(REPORTS / "summary.md", summary.render(evaluations, attacks))
    runs.record(REPORTS / "run.js", page_id, TIMINGS)


if __name__ == "__main__":
    run_stage(main)
