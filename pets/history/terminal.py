"""A history in the terminal, readable at 80 columns and without colour."""

from itertools import groupby

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from pets.comparison.result import metric_of
from pets.comparison.terminal import STYLES, plain
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

COLUMNS = ("top1", "mean_per_class", "nll")  # as many as fit


def show(history: History, console: Console) -> None:
    """Print the history: the real steps first, then a table for each combination."""
    console.print(_text(history.headline.upper(), "bold"))
    console.print(_text(history.span))
    for note in remarks(history):
        console.print(_text(f"! {note}", "yellow"))
    for at, found in history.marked.items():
        commit = history.commits[at]
        console.print(_text(f"\n{commit.name}  {commit.date}  {commit.subject}", "bold"))
        for _, point in found:
            lines = [point.title, *map(sentence, point.real), *([images(point.step)] if point.step else [])]
            style = STYLES.get(point.mark, "")
            console.print(Padding(_text(lines[0], style), (0, 0, 0, 2)))
            changed = [f"changed: {each}" for each in point.causes]
            for each in (*lines[1:], *changed):
                console.print(Padding(_text(each), (0, 0, 0, 4)))
        console.print(Padding(_text(command(history, found[0][1]), "dim"), (0, 0, 0, 2)))
    for line in history.lines:
        console.print()
        console.print(_text(line.name + (" (synthetic images)" if line.synthetic else ""), "bold underline"))
        for at, names in line.renamings:
            console.print(_text(f"  {history.commits[at].name}: {names}"))
        console.print(Padding(_table(history, line), (0, 0, 0, 2)))
        if end := ended(history, line):
            console.print(_text(f"  {end}"))
    console.print()
    console.print(_text(history.correction, "dim"))


def _table(history: History, line: Line) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("Commit", no_wrap=True, max_width=12)
    for key in COLUMNS:
        table.add_column(metric_of(key).name, no_wrap=True)
    table.add_column("Step")
    for same, run in groupby(line.points, key=_unchanged):
        points = list(run)
        if same and len(points) > 1:
            table.add_row("", _text(f"{len(points)} commits", "dim"), "", "", _text("= same", "dim"))
            continue
        for point in points:
            cells = [measured(key, point) for key in COLUMNS]
            name = history.commits[point.commit].name
            table.add_row(_text(name), *map(_text, cells), _text(verdict(point), STYLES.get(point.mark, "")))
    return table


def _unchanged(point: Point) -> bool:
    return point.step is not None and not point.step.tests


def _text(content: str, style: str = "") -> Text:
    """The content as text: rich's markup in it has no effect."""
    return Text(plain(content), style)
