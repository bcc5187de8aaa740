"""A comparison in the terminal, readable at 80 columns and without colour."""

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from pets.comparison.result import Comparison, Pair, correction, movement, sentence
from pets.comparison.verdicts import BETTER, CHANCE, WORSE

STYLES = {BETTER: "bold green", WORSE: "bold red", CHANCE: "bold"}
MOVED = 6  # classes shown


def show(comparison: Comparison, console: Console) -> None:
    """Print the comparison."""
    style = next((STYLES[each] for each in (WORSE, BETTER) if each in comparison.verdict), "bold")
    console.print(_text(comparison.verdict.upper(), style))
    console.print(_text(f"OLD {comparison.old}, NEW {comparison.new}"))
    for note in comparison.notes:
        console.print(_text(f"! {note}", "yellow"))
    for pair in comparison.pairs:
        console.print()
        console.print(_text(pair.title, "bold underline"))
        console.print(Padding(Group(*_pair(pair)), (0, 0, 0, 2)))
    for revision, alone in ((comparison.old, comparison.only_old), (comparison.new, comparison.only_new)):
        if alone:
            console.print(_text(f"\nOnly in {revision}: {', '.join(map(str, alone))}"))
    if comparison.params:
        console.print(_text("\nParameters that changed", "bold underline"))
        table = Table("Parameter", "OLD", "NEW", box=None, pad_edge=False)
        for change in comparison.params:
            table.add_row(*map(_text, map(str, change)))
        console.print(Padding(table, (0, 0, 0, 2)))
    if comparison.tests:
        console.print()
        console.print(_text(correction(comparison), "dim"))


def _pair(pair: Pair) -> list[RenderableType]:
    shown: list[RenderableType] = [_text(each) for each in pair.remarks]
    for test in pair.tests:
        numbers, _, verdict = sentence(test).rpartition(": ")
        shown.append(Text.assemble(_text(f"{numbers}: "), _text(verdict, STYLES[test.verdict])))
    if not pair.same:
        if moved := movement(pair, MOVED):
            shown.append(_text(moved))
        shown.append(Padding(_metrics(pair), (1, 0, 0, 0)))
    return shown


def _metrics(pair: Pair) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("%, NLL in nats", no_wrap=True)
    for heading in ("OLD", "NEW", "NEW − OLD", "95% interval"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in pair.rows:
        table.add_row(*map(_text, row.cells))
    return table


def plain(content: str) -> str:
    """Text without control characters."""
    return "".join(each if each.isprintable() or each == "\n" else "?" for each in content)


def _text(content: str, style: str = "") -> Text:
    """The content as text: rich's markup in it has no effect."""
    return Text(plain(content), style)
