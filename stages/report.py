"""Collect all results of the run into one page, reports/index.html, and a summary, reports/summary.md.

The same results give the same bytes. What differs from run to run, the commit, the date and the times, is
beside the page in reports/run.js, where the page finds it.
"""

from pathlib import Path

from pets.core import params
from pets.core.files import write_text
from pets.core.params import Run
from pets.core.stage import TIMINGS, run_stage
from pets.report import page, runs, summary
from pets.report.results import read_results

REPORTS = Path("reports")


def main() -> None:
    """Write the page, the summary, and the entry of this run beside them."""
    results = read_results(params.read("run", Run))
    html, page_id = page.render(results)
    write_text(REPORTS / "index.html", html)
    write_text(REPORTS / "summary.md", summary.render(results.evaluations, results.attacks))
    runs.record(REPORTS / "run.js", page_id, TIMINGS)
    print(f"{REPORTS / 'index.html'}: open it in a browser")


if __name__ == "__main__":
    run_stage(main)
