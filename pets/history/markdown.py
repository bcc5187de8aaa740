"""A history in Markdown, for a pull request or a Prefect artifact."""

from pets.comparison.markdown import MARKS, plain
from pets.comparison.result import metric_of
from pets.history.result import (
    History,
    Line,
    Point,
    command,
    ended,
    images,
    measured,
    remarks,
    sentence,
    verdict,
)
from pets.report.summary import table


def render(history: History) -> str:
    """The real steps, and a table for each combination, folded."""
    parts = [
        f"## {history.headline}",
        plain(history.span),
        *(f"> **Note:** {plain(note)}" for note in remarks(history)),
    ]
    for at, found in history.marked.items():
        commit = history.commits[at]
        parts.append(f"### {plain(f'{commit.name} {commit.date} {commit.subject}')}")
        parts += [_step(point) for _, point in found]
        parts.append(f"`{command(history, found[0][1])}`")
    parts += ["### Every combination", *(_folded(history, line) for line in history.lines)]
    return "\n\n".join((*parts, f"<sub>{plain(history.correction)}</sub>")) + "\n"


def _step(point: Point) -> str:
    assert point.step is not None
    name = f"**{MARKS[point.mark]}** {plain(point.title)}"
    rows = [*map(sentence, point.real), images(point.step), *(f"changed: {each}" for each in point.causes)]
    return "\n".join([f"- {name}", *(f"  - {plain(each)}" for each in rows)])


def _folded(history: History, line: Line) -> str:
    metrics = history.metrics
    rows = [
        [
            plain(f"{commit.name} {commit.subject}"),
            *(plain(measured(key, point)) for key in metrics),
            plain(verdict(point)),
        ]
        for point in line.points
        for commit in [history.commits[point.commit]]
    ]
    headings = ["Commit", *(metric_of(key).name for key in metrics), "Step"]
    notes = [*(f"{history.commits[at].name}: {names}." for at, names in line.renamings), ended(history, line)]
    inside = "\n\n".join(filter(None, (*map(plain, notes), table(headings, rows))))
    name = plain(line.name) + (" (synthetic images)" if line.synthetic else "")
    return f"<details><summary>{name}</summary>\n\n{inside}\n\n</details>"
