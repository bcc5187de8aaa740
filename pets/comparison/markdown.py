"""A comparison in Markdown, for a pull request or a Prefect artifact."""

import html
import re

from pets.comparison.result import Comparison, Pair, correction, interval, movement, p_value, signed
from pets.comparison.verdicts import BETTER, CHANCE, WORSE
from pets.report.summary import table

MOVED = 10  # classes named
NAMED = 40  # gained and lost images named
METRICS = ["%, NLL in nats", "OLD", "NEW", "NEW − OLD", "95% interval"]  # the headings of their table
MARKS = {BETTER: "▲ better", WORSE: "▼ worse", CHANCE: CHANCE}


def render(comparison: Comparison) -> str:
    """The verdict, a table of the tests, and the details folded."""
    parts = [
        f"## {comparison.headline}: {plain(comparison.old)} → {plain(comparison.new)}",
        plain(comparison.result),
        *(f"> **Note:** {plain(note)}" for note in comparison.notes),
    ]
    if comparison.tests:
        parts += [_tests(comparison), f"<sub>{plain(correction(comparison))}</sub>"]
    for pair in comparison.pairs:
        parts += [f"### {plain(pair.title)}", " ".join(map(plain, pair.remarks))]
        if not pair.same:
            metrics = table(METRICS, [list(map(plain, row.cells)) for row in pair.rows])
            parts += [plain(movement(pair, MOVED)), _folded("All metrics", metrics)]
            parts += _images(pair)
    for revision, alone in ((comparison.old, comparison.only_old), (comparison.new, comparison.only_new)):
        if alone:
            parts.append(f"Only in {plain(revision)}: {', '.join(plain(str(each)) for each in alone)}.")
    if comparison.params:
        rows = [[plain(str(each)) for each in change] for change in comparison.params]
        parts += ["### Parameters that changed", table(["Parameter", "OLD", "NEW"], rows, first=3)]
    return "\n\n".join(filter(None, parts)) + "\n"


def _tests(comparison: Comparison) -> str:
    rows = [
        [
            plain(pair.title),
            test.metric.name,
            f"**{MARKS[test.verdict]}**",
            test.metric.format(test.old),
            test.metric.format(test.new),
            signed(test.metric, test.difference),
            interval(test.metric, test.interval),
            p_value(test.p),
            p_value(test.corrected),
        ]
        for pair in comparison.pairs
        for test in pair.tests
    ]
    numbers = ["OLD", "NEW", "NEW − OLD", "95% interval", "p", "corrected"]
    return table(["Combination", "%, NLL in nats", "Verdict", *numbers], rows, first=3)


def _images(pair: Pair) -> list[str]:
    if pair.paired is None:
        return []
    folded = []
    for name, images in (("gained", pair.paired.gained), ("lost", pair.paired.lost)):
        if len(images):
            ids = ", ".join(plain(each) for each in images["image_id"].head(NAMED))
            more = f" and {len(images) - NAMED} more" if len(images) > NAMED else ""
            folded.append(_folded(f"{len(images)} images {name}", ids + more))
    return folded


def _folded(title: str, content: str) -> str:
    return f"<details><summary>{title}</summary>\n\n{content}\n\n</details>"


def plain(text: str) -> str:
    """Text from elsewhere, escaped so that it is neither HTML nor Markdown and ends no table cell."""
    return re.sub(r"([\\`*\[\]|~])", r"\\\1", html.escape(" ".join(text.split()), quote=False))
