"""A comparison as a page: one HTML file that opens offline, in the style of the report."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from markupsafe import Markup

from pets.comparison.build import PICTURES
from pets.comparison.result import (
    Comparison,
    Pair,
    correction,
    count,
    difference,
    interval,
    p_value,
    signed,
    unit,
    value,
)
from pets.comparison.verdicts import BETTER, WORSE, Test
from pets.report.charts import Axis, axis_around, tag
from pets.report.evaluation import display_name, plural
from pets.report.templates import render_page

KINDS = {BETTER: "better", WORSE: "worse"}  # the CSS class of a verdict; others are "chance"


class Forest(NamedTuple):
    """The tests shown on one axis, each with its pair; ``unit`` is that of the axis."""

    unit: str
    rows: list[tuple[Pair, Test]]
    axis: Axis

    def track(self, test: Test) -> Markup:
        """A dot with its interval, and a line at zero."""
        low, high = test.interval
        return tag(
            "svg",
            *_grid(self.axis),
            tag("line", class_="whisker", x1=self.axis.at(low), x2=self.axis.at(high), y1="50%", y2="50%"),
            tag("circle", class_="dot", cx=self.axis.at(test.difference), cy="50%", r=5.5),
            class_="track",
            aria_hidden="true",
        )

    def numbers(self) -> Markup:
        """The numbers of the axis, for the last row."""
        scale = 100 if self.unit == "points" else 1
        return _numbers(self.axis, lambda tick: _signed(scale * tick))


class Moves(NamedTuple):
    """The classes whose accuracy changed, on one axis of images: lost to the left, gained to the right."""

    rows: list[Any]
    axis: Axis

    def track(self, row: Any) -> Markup:
        """Two bars from zero, one for the images lost and one for those gained."""
        zero, width = self.axis.at(0), self.axis.high - self.axis.low
        lost = tag(
            "rect",
            class_="lost",
            x=self.axis.at(-row.lost),
            y="22%",
            width=f"{100 * row.lost / width:.2f}%",
            height="56%",
        )
        gained = tag(
            "rect", class_="gained", x=zero, y="22%", width=f"{100 * row.gained / width:.2f}%", height="56%"
        )
        return tag("svg", *_grid(self.axis), lost, gained, class_="track", aria_hidden="true")

    def numbers(self) -> Markup:
        """The numbers of the axis, for the last row."""
        return _numbers(self.axis, lambda tick: f"{abs(tick):g}")


def render(comparison: Comparison) -> str:
    """The page as HTML: the same comparison gives the same bytes."""
    return render_page(
        Path(__file__).parent,
        {"readable": display_name, "plural": plural, "count": count},
        comparison=comparison,
        correction=correction,
        difference=difference,
        forests=forests(comparison),
        interval=interval,
        kinds=KINDS,
        moves=moves,
        most=PICTURES,
        p_value=p_value,
        signed=signed,
        unit=unit,
        value=value,
    )


def forests(comparison: Comparison) -> list[Forest]:
    """All tests, those in points on one axis and those in nats on another."""
    rows = [(pair, test) for pair in comparison.pairs for test in pair.tests]
    found = []
    for name in dict.fromkeys(unit(test.metric) for _, test in rows):
        shown = [(pair, test) for pair, test in rows if unit(test.metric) == name]
        found.append(Forest(name, shown, axis_around([(0.0, 0.0), *(test.interval for _, test in shown)])))
    return found


def moves(pair: Pair) -> Moves:
    """The classes whose accuracy changed, from the largest gain to the largest loss."""
    assert pair.paired is not None
    moved = pair.paired.moved
    net = moved["gained"] - moved["lost"]
    ordered = moved.assign(net=net).sort_values(["net", "label"], ascending=[False, True])
    most = int(max(ordered["gained"].max(), ordered["lost"].max()))
    step = max(1, -(-most // 3))
    ends = -(-most // step) * step
    ticks = tuple(float(tick) for tick in range(-ends, ends + 1, step))
    return Moves(list(ordered.itertuples()), Axis(ticks[0], ticks[-1], ticks))


def _grid(axis: Axis) -> list[Markup]:
    return [
        tag("line", class_="grid" if tick else "zero", x1=axis.at(tick), x2=axis.at(tick), y1=0, y2="100%")
        for tick in axis.ticks
    ]


def _numbers(axis: Axis, text: Callable[[float], str]) -> Markup:
    numbers = [tag("text", text(tick), x=axis.at(tick), y=14, text_anchor="middle") for tick in axis.ticks]
    return tag("svg", *numbers, class_="track axis", aria_hidden="true")


def _signed(number: float) -> str:
    return f"{number:+.3g}".replace("-", "−") if number else "0"
