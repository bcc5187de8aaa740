"""A comparison as a page: one HTML file that opens offline, in the style of the report."""

from pathlib import Path
from typing import Any, NamedTuple

from markupsafe import Markup

from pets.comparison import result
from pets.comparison.build import PICTURES
from pets.comparison.result import Comparison, Pair
from pets.comparison.verdicts import BETTER, WORSE, Test
from pets.galleries.figures import display_name
from pets.report.charts import Axis, axis_around, axis_track, interval_track, tag, track
from pets.report.evaluation import plural
from pets.report.templates import render_page

KINDS = {BETTER: "better", WORSE: "worse"}  # the CSS class of a verdict; others are "chance"


class Forest(NamedTuple):
    """The tests shown on one axis, each with its pair; ``unit`` is that of the axis."""

    unit: str
    rows: list[tuple[Pair, Test]]
    axis: Axis

    def track(self, test: Test) -> Markup:
        """A dot with its interval, and a line at zero."""
        return interval_track(test.difference, test.interval, self.axis)

    def numbers(self) -> Markup:
        """The numbers of the axis, for the last row."""
        scale = 100 if self.unit == "points" else 1
        return axis_track(self.axis, lambda tick: f"{scale * tick:+.3g}".replace("-", "−") if tick else "0")


class Moves(NamedTuple):
    """The classes whose accuracy changed, on one axis of images: lost to the left, gained to the right."""

    rows: list[Any]
    axis: Axis

    def track(self, row: Any) -> Markup:
        """Two bars from zero, one for the images lost and one for those gained."""
        lost, gained = self._bar("lost", -row.lost, row.lost), self._bar("gained", 0, row.gained)
        return track(self.axis, lost, gained, zero="zero")

    def _bar(self, kind: str, start: float, images: int) -> Markup:
        width = f"{100 * images / (self.axis.high - self.axis.low):.2f}%"
        return tag("rect", class_=kind, x=self.axis.at(start), y="22%", width=width, height="56%")

    def numbers(self) -> Markup:
        """The numbers of the axis, for the last row."""
        return axis_track(self.axis, lambda tick: f"{abs(tick):g}")


def render(comparison: Comparison) -> str:
    """The page as HTML: the same comparison gives the same bytes."""
    return render_page(
        Path(__file__).parent,
        {"readable": display_name, "plural": plural, "count": result.count},
        comparison=comparison,
        correction=result.correction,
        difference=result.difference,
        forests=forests(comparison),
        interval=result.interval,
        kinds=KINDS,
        moves=moves,
        most=PICTURES,
        p_value=result.p_value,
        signed=result.signed,
        unit=result.unit,
        value=result.value,
    )


def forests(comparison: Comparison) -> list[Forest]:
    """All tests, those in points on one axis and those in nats on another."""
    rows = [(pair, test) for pair in comparison.pairs for test in pair.tests]
    found = []
    for name in dict.fromkeys(result.unit(test.metric) for _, test in rows):
        shown = [(pair, test) for pair, test in rows if result.unit(test.metric) == name]
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
