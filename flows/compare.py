"""Compare two git revisions, or one and the workspace: what changed, and is it more than chance?

Metrics and parameters are compared as DVC has them. Where the predictions of both can be had, from DVC's
cache or a remote, they are tested image by image: the verdict is better, worse, or no more than chance.

Exit status: 0; 1 with --fail-if-worse, where a metric is worse by more than chance; 2 where nothing can be
compared.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from prefect import flow, get_run_logger, runtime
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from stages.errors import UserError
from stages.files import whole

# What compares is imported where it is needed: --help need not wait for DVC, pandas and scipy.


@flow(name="compare")
def compare(
    old: str = "HEAD~1",
    new: str | None = None,
    old_model: str | None = None,
    new_model: str | None = None,
    page_file: Path | None = None,
    fail_if_worse: bool = False,
) -> State:
    """Compare two revisions (``new``: the workspace where left out); the result becomes an artifact.

    ``old_model`` and ``new_model`` pick one combination of each: dataset/backbone/head, or enough of its
    parts. ``page_file`` is where to write the page. The run fails, with the reason as its message, where
    nothing can be compared, and with ``fail_if_worse``, once the artifact is there, where a metric is worse
    by more than chance.
    """
    from flows.comparison import markdown, page
    from flows.comparison.build import build
    from flows.workspace import Workspace

    logger = get_run_logger()
    me = {"name": runtime.flow_run.name}
    try:
        # What is read must not change meanwhile: a deployment compares while the next run may begin.
        with Workspace(Path.cwd()).held(me, logger.info, lambda: time.sleep(0.5)):
            comparison = build(old, new, old_model, new_model, pictures=page_file is not None)
        if page_file:
            write(page_file, page.render(comparison))
    except UserError as error:
        return Failed(message=str(error))
    told = f"{comparison.headline}: {comparison.old} → {comparison.new}"
    create_markdown_artifact(markdown.render(comparison), key="comparison", description=told)
    logger.info("%s. %s", told, comparison.finding)
    ended = Failed if fail_if_worse and comparison.worse else Completed
    return ended(message=told)


def main(words: Sequence[str] | None = None) -> int:
    """The command line: print the comparison, write the files asked for, return the exit status.

    It needs no Prefect server and leaves no flow run.
    """
    asked = arguments(words)
    from rich.console import Console

    from flows.comparison import markdown, page, record, terminal
    from flows.comparison.build import build

    try:
        comparison = build(
            asked.old, asked.new, asked.old_model, asked.new_model, pictures=asked.page is not None
        )
        for file, form in ((asked.page, page), (asked.markdown, markdown), (asked.json, record)):
            if file:
                write(file, form.render(comparison))
    except UserError as error:
        print(f"compare: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("compare: stopped", file=sys.stderr)
        return 130
    terminal.show(comparison, Console(highlight=False, markup=False))
    return int(asked.fail_if_worse and comparison.worse)


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="python -m flows.compare",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("old", metavar="OLD", help="a commit, branch or tag")
    parser.add_argument("new", metavar="NEW", nargs="?", help="another; left out: the workspace")
    model = "DATASET/BACKBONE/HEAD, or enough of it to mean only one"
    parser.add_argument("--old-model", metavar="NAME", help=f"compare only this of OLD: {model}")
    parser.add_argument("--new-model", metavar="NAME", help="with this of NEW; left out: the same")
    parser.add_argument("--page", metavar="FILE", type=Path, help="write a page (HTML) with pictures")
    parser.add_argument("--markdown", metavar="FILE", type=Path, help="write Markdown for a pull request")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write every number as JSON")
    parser.add_argument("--fail-if-worse", action="store_true", help="exit with 1 where a metric got worse")
    return parser.parse_args(words)


def write(file: Path, text: str) -> None:
    """A file, whole or not there. Raises UserError where it can't be written."""
    try:
        with whole(file) as temporary:
            temporary.write_text(text, "utf-8")
    except OSError as error:
        raise UserError(f"{file} cannot be written: {error.strerror}.") from None


if __name__ == "__main__":
    sys.exit(main())
