"""The history of metrics over many commits: how each changed, and which steps are more than chance.

REVISIONS is a range (v1..main: v1 and all after it), a list of revisions, or one, which stands for the last
commits up to it in which a metric changed; without any, those up to HEAD, and the workspace where its results
are others. Each commit is tested against the one before, image by image, where the predictions of both are in
DVC's cache or a remote.

Exit status: 0; 2 where there is nothing to show.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from prefect import flow, get_run_logger, runtime
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from flows.command import write
from pets.core.errors import UserError

# The history is built by what is imported where it is needed: --help does not wait for DVC, pandas and scipy.
LAST = 30  # commits, where the user names no others
PATIENCE = 30.0  # seconds without an answer of a remote


@flow(name="history")
def history(
    revisions: Sequence[str] = (),
    baseline: str | None = None,
    last: int = LAST,
    page_file: Path | None = None,
) -> State:
    """Draw the history of the metrics; a summary becomes an artifact.

    ``revisions`` are as on the command line. ``baseline`` is a revision that all others are compared with, in
    place of the one before each. ``page_file`` is where to write the page. The run fails, with the reason as
    its message, where there is nothing to show.
    """
    from flows.workspace import Workspace, half_a_second
    from pets.history import markdown, page
    from pets.history.build import build

    logger = get_run_logger()
    try:
        # What is read must not change meanwhile: the next run may start while a deployment reads.
        with Workspace(Path.cwd()).held({"name": runtime.flow_run.name}, logger.info, half_a_second):
            found = build(revisions, baseline, last, PATIENCE)
        if page_file:
            write(page_file, page.render(found))
    except UserError as error:
        return Failed(message=str(error))
    verdict = f"{found.headline}: {found.span}"
    create_markdown_artifact(markdown.render(found), key="history", description=verdict)
    logger.info(verdict)
    return Completed(message=verdict)


def main(words: Sequence[str] | None = None) -> int:
    """The command line: print the history, write the requested files, return the exit status.

    It needs no Prefect server and leaves no flow run.
    """
    options = arguments(words)
    from rich.console import Console

    from pets.history import markdown, page, terminal
    from pets.history.build import build

    try:
        found = build(options.revisions, options.baseline, options.last, options.patience)
        for file, form in ((options.page, page), (options.markdown, markdown)):
            if file:
                write(file, form.render(found))
    except UserError as error:
        print(f"history: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("history: stopped", file=sys.stderr)
        return 130
    terminal.show(found, Console(highlight=False, markup=False))
    return 0


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    """The options on the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m flows.history",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("revisions", metavar="REVISIONS", nargs="*", help="v1..main, or nightly, or v1 v2 workspace")
    add("--baseline", metavar="REV", help="test every commit against this one, not against the one before")
    add("--last", metavar="N", type=int, default=LAST, help="how many, without a range (default %(default)s)")
    patience = "how long to wait for an answer of DVC's remote (default %(default)g)"
    add("--patience", metavar="SECONDS", type=float, default=PATIENCE, help=patience)
    add("--page", metavar="FILE", type=Path, help="write a page (HTML) with the charts")
    add("--markdown", metavar="FILE", type=Path, help="write Markdown for a pull request")
    options = parser.parse_args(words)
    if not (options.last > 0 and options.patience > 0):
        parser.error("--last and --patience must be more than 0")
    return options


if __name__ == "__main__":
    sys.exit(main())
