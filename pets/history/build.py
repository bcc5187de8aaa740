"""Build a history: read the commits, follow their combinations, test every step, correct for all tests."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from dvc.repo import Repo

from pets import sources
from pets.comparison.revisions import WORKSPACE, commit_of, project
from pets.core import names
from pets.core.errors import UserError
from pets.core.progress import progress_bar
from pets.history import commits, points, steps
from pets.history.commits import Commit
from pets.history.fetch import fetch
from pets.history.follow import trails
from pets.history.outcomes import READ, Outputs
from pets.history.result import History, Line, Point

SEED = 0  # of the random swaps


def build(words: Sequence[str], baseline: str | None, last: int, patience: float) -> History:
    """The history of the commits that ``words`` name, without a range the ``last`` (see `commits.chosen`).

    Each is tested against the one before, or against ``baseline``. A remote is given up after ``patience``
    seconds without an answer. Raises UserError where there is nothing to show.
    """
    with project() as repo:
        chosen, notes = commits.chosen(repo, words, last)
        reference = baseline if baseline in (None, WORKSPACE) else commit_of(repo, str(baseline))
        if reference is not None and reference not in chosen:
            chosen = {reference: str(baseline)} | chosen
        found = _read(repo, chosen)
        if WORKSPACE not in (*words, baseline):
            found = _without_copy(found)
        place = None if reference is None else list(chosen).index(reference)
        if not any(each.metrics for each in found):
            raise UserError(
                "no commit here has metrics: nothing was evaluated, or evaluations/ was not committed."
            )
        outputs = Outputs(repo)
        outputs.unreachable = _fetch(repo, outputs, found, patience)
        lines, counted = _lines(found, outputs, place)
    return History(
        commits=tuple(found),
        lines=lines,
        counted=counted,
        baseline=place,
        notes=(*notes, *(problem for each in found for problem in each.problems), *_untested(lines)),
    )


def _read(repo: Repo, chosen: Mapping[str, str]) -> list[Commit]:
    with progress_bar(len(chosen), "read", "commits", delay=1) as progress:
        found = []
        for commit in commits.read(repo, chosen):
            found.append(commit)
            progress.update()
    return found


def _without_copy(found: list[Commit]) -> list[Commit]:
    """The commits without the workspace, where that has the same results as the last one."""
    if len(found) < 2 or found[-1].sha:
        return found
    last, workspace = found[-2:]
    same = last.metrics == workspace.metrics and last.lock.evaluated == workspace.lock.evaluated
    return found[:-1] if same else found


def _fetch(repo: Repo, outputs: Outputs, found: Sequence[Commit], patience: float) -> str:
    """Fetch what DVC's cache lacks; returns why some of it is still missing, if so."""
    evaluations = [(commit.lock, each) for commit in found for each in commit.metrics]
    wanted = [md5 for lock, each in evaluations for name in READ if (md5 := lock.output(each, name))]
    missing = outputs.missing(wanted)
    return fetch(repo, missing, patience) if missing else ""


def _lines(found: Sequence[Commit], outputs: Outputs, baseline: int | None) -> tuple[tuple[Line, ...], int]:
    """The lines with every step tested, and the number of tests that were corrected together."""
    followed = trails(found)
    with progress_bar(sum(map(len, followed)), "read", "predictions", delay=1) as progress:
        drawn = [points.draw(found, trail, outputs, baseline, progress.update) for trail in followed]
    pending = [each for line in drawn for each in line.pending.values()]
    tested, counted = steps.tested(pending, SEED)
    results = iter(tested)
    lines = []
    for line in drawn:
        for at in line.pending:
            line.points[at] = replace(line.points[at], step=next(results))
        by_commit = {each.commit: each for each in line.points}
        shown = tuple(points.explained(found, outputs, each, by_commit) for each in line.points)
        lines.append(Line(shown, _synthetic(found, shown)))
    return tuple(lines), counted


def _synthetic(found: Sequence[Commit], shown: Sequence[Point]) -> bool:
    """Whether a program drew the pictures."""
    used = {found[each.commit].sources.get(each.combination.dataset, "") for each in shown}
    return any(sources.load(each).SYNTHETIC for each in used if each in names.sources())


def _untested(lines: Sequence[Line]) -> list[str]:
    """Why points have no predictions, a sentence for each reason."""
    counts = Counter(each.missing for line in lines for each in line.points if each.missing)
    total = sum(len(line.points) for line in lines)
    return [
        f"{count:,} of {total:,} points show their metrics alone: their predictions {reason}."
        for reason, count in counts.items()
    ]
