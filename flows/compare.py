"""Compare two git revisions, or one and the workspace: what changed, and is it more than chance?

Metrics and parameters are compared as DVC has them. Where the predictions of both are available, in DVC's
cache or a remote, they are tested image by image: the verdict is better, worse, or no more than chance.

Exit status: 0; 1 with --fail-if-worse, where a metric is worse by more than chance; 2 where nothing can be
compared.
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

# The comparison is imported where it is needed, so that --help does not wait for DVC, pandas and scipy.


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

    ``old_model`` and ``new_model`` select one combination of each: dataset/backbone/head, or enough of its
    parts. ``page_file`` is where to write the page. The run fails, with the reason as its message, where
    nothing can be compared, and with ``fail_if_worse``, after creating the artifact, where a metric is worse
    by more than chance. Where ``old`` has no results yet, as before the first commit, it completes.
    """
    from flows.workspace import Workspace, half_a_second
    from pets.comparison import markdown, page
    from pets.comparison.build import NothingBeforeError, build

    logger = get_run_logger()
    me = {"name": runtime.flow_run.name}
    try:
        # What is read must not change meanwhile: the next run may start while a deployment compares.
        with Workspace(Path.cwd()).held(me, logger.info, half_a_second):
            comparison = build(old, new, old_model, new_model, pictures=page_file is not None)
        if page_file:
            write(page_file, page.render(comparison))
    except NothingBeforeError as error:
        return Completed(message=f"Nothing to compare with yet: {error}")
    except UserError as error:
        return Failed(message=str(error))
    verdict = f"{comparison.headline}: {comparison.old} → {comparison.new}"
    create_markdown_artifact(markdown.render(comparison), key="comparison", description=verdict)
    logger.info("%s. %s", verdict, comparison.result)
    ended = Failed if fail_if_worse and comparison.worse else Completed
    return ended(message=verdict)


def main(words: Sequence[str] | None = None) -> int:
    """The command line: print the comparison, write the requested files, return the exit status.

    It needs no Prefect server and leaves no flow run.
    """
    options = arguments(words)
    from rich.console import Console

    from pets.comparison import markdown, page, record, terminal
    from pets.comparison.build import build

    try:
        comparison = build(
            options.old, options.new, options.old_model, options.new_model, pictures=options.page is not None
        )
        for file, form in ((options.page, page), (options.markdown, markdown), (options.json, record)):
            if file:
                write(file, form.render(comparison))
    except UserError as error:
        print(f"compare: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("compare: stopped", file=sys.stderr)
        return 130
    terminal.show(comparison, Console(highlight=False, markup=False))
    return int(options.fail_if_worse and comparison.worse)


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    """The options on the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m flows.compare",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("old", metavar="OLD", help="a commit, branch or tag")
    parser.add_argument("new", metavar="NEW", nargs="?", help="another one; the workspace by default")
    model = "DATASET/BACKBONE/HEAD, or enough of it to match only one"
    parser.add_argument("--old-model", metavar="NAME", help=f"compare only this one of OLD: {model}")
    parser.add_argument("--new-model", metavar="NAME", help="with this one of NEW; the same by default")
    parser.add_argument("--page", metavar="FILE", type=Path, help="write a page (HTML) with pictures")
    parser.add_argument("--markdown", metavar="FILE", type=Path, help="write Markdown for a pull request")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write every number as JSON")
    parser.add_argument("--fail-if-worse", action="store_true", help="exit with 1 where a metric got worse")
    return parser.parse_args(words)


if __name__ == "__main__":
    sys.exit(main())
