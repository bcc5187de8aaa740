"""A history as a page: one HTML file that opens offline, in the style of the report."""

import shlex
from pathlib import Path

from pets.comparison.result import metric_of, signed, unit
from pets.comparison.verdicts import BETTER, WORSE
from pets.history import result
from pets.history.chart import Chart
from pets.history.result import History, Point
from pets.report.templates import render_page


def render(history: History) -> str:
    """The page as HTML: the same history gives the same bytes."""
    return render_page(
        Path(__file__).parent,
        {"shell": shlex.quote},
        history=history,
        better=BETTER,
        chart=lambda line, key: Chart(
            history, line, key, [described(history, each, key) for each in line.points]
        ),
        command=lambda point: result.command(history, point),
        ended=lambda line: result.ended(history, line),
        change=result.change,
        images=result.images,
        measured=result.measured,
        metric_of=metric_of,
        p_values=result.p_values,
        verdict=result.verdict,
        worse=WORSE,
    )


def described(history: History, point: Point, key: str) -> str:
    """A point in a few sentences, for who points at it or listens."""
    commit = history.commits[point.commit]
    metric = metric_of(key)
    parts = [
        " ".join(filter(None, (commit.name, commit.date, commit.subject))),
        f"{metric.name} {result.measured(key, point)}",
    ]
    if point.step and point.against is not None:
        against = f"Against {history.commits[point.against].name}"
        tests = [test for test in point.step.tests if test.metric.key == key]
        parts += [
            f"{against}: {signed(metric, test.difference)} {unit(metric)}, {test.verdict} "
            f"({result.p_values(test)})"
            for test in tests
        ]
        parts += [f"{against}: the same predictions"] if not point.step.tests else []
        parts.append(result.images(point.step))
    parts.append(f"Its predictions {point.missing}" if point.missing else "")
    parts.append(point.remark)
    parts.append(f"Changed: {'; '.join(point.causes)}" if point.causes else "")
    return ". ".join(filter(None, parts)) + "."
