"""A metric over commits as SVG: as wide as its frame, or wider to zoom, since positions are in percent."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup

from pets.comparison.result import metric_of
from pets.comparison.verdicts import WORSE
from pets.history.result import History, Line, Point
from pets.report.charts import round_ticks, tag

TOP, HEIGHT, BOTTOM = 26, 170, 24  # pixels, of the marks, the points and the commits' names
SHORT = 7  # letters of a commit's name; a longer one at the right end would be cut off
LABELS = 8  # commits named where the chart is as wide as a page


@dataclass(frozen=True)
class Chart:
    """A metric of a line over all commits; ``texts`` describe its points, in their order."""

    history: History
    line: Line
    key: str
    texts: Sequence[str]

    @property
    def points(self) -> list[Point]:
        """Those that have the metric."""
        return [point for point in self.line.points if self.key in point.metrics]

    @property
    def _ticks(self) -> list[float]:
        """Round numbers on the axis, which reaches from the lowest interval to the highest."""
        low, high = self._range
        return round_ticks(low, high)

    @property
    def _range(self) -> tuple[float, float]:
        numbers = [point.metrics[self.key] for point in self.points]
        numbers += [each for point in self.points for each in point.intervals.get(self.key, ())]
        low, high = min(numbers), max(numbers)
        room = 0.06 * (high - low) or 0.01
        return low - room, high + room

    def axis(self) -> Markup:
        """The axis's numbers, which stay where they are while the chart is scrolled."""
        write: Callable[[float], str] = (
            (lambda tick: f"{100 * tick:.3g}%") if metric_of(self.key).percent else "{:.3g}".format
        )
        numbers = [
            tag("text", write(tick), x=46, y=self._y(tick), dy=".35em", text_anchor="end")
            for tick in self._ticks
        ]
        return tag("svg", *numbers, class_="numbers", aria_hidden="true", height=TOP + HEIGHT + BOTTOM)

    def svg(self) -> Markup:
        """The chart. Its points can be focused; the texts say what they show."""
        points = self.points
        marks = [
            tag("line", class_="grid", x1="0%", x2="100%", y1=self._y(tick), y2=self._y(tick))
            for tick in self._ticks
        ]
        marks += [self._segment(old, new) for old, new in pairwise(points)]
        marks += [self._names(at) for at in range(len(self.history.commits))]
        texts = dict(zip((point.commit for point in self.line.points), self.texts, strict=True))
        marks += [self._point(point, texts[point.commit], point is points[-1]) for point in points]
        name = f"{metric_of(self.key).name} of {self.line.name} over {len(self.history.commits)} commits"
        return tag(
            "svg",
            *marks,
            class_="commits",
            role="group",
            aria_label=f"{name}. Arrow keys move from commit to commit.",
            height=TOP + HEIGHT + BOTTOM,
        )

    def _x(self, commit: int) -> str:
        return f"{100 * (commit + 0.5) / len(self.history.commits):.3f}%"

    def _y(self, value: float) -> float:
        low, high = self._range
        return TOP + HEIGHT * (high - value) / (high - low)

    def _segment(self, old: Point, new: Point) -> Markup:
        kind = "step" if new.commit - old.commit == 1 else "step over"
        ends = {"y1": self._y(old.metrics[self.key]), "y2": self._y(new.metrics[self.key])}
        return tag("line", class_=kind, x1=self._x(old.commit), x2=self._x(new.commit), **ends)

    def _names(self, at: int) -> Markup:
        every = -(-len(self.history.commits) // LABELS)
        kind = "commit" if at % every == 0 else "commit rest"
        name = self.history.commits[at].name
        anchor = "end" if len(name) > SHORT and at == len(self.history.commits) - 1 else "middle"
        return tag("text", name, class_=kind, x=self._x(at), y=TOP + HEIGHT + 18, text_anchor=anchor)

    def _point(self, point: Point, text: str, last: bool) -> Markup:
        x, y = self._x(point.commit), self._y(point.metrics[self.key])
        mark = next((test.verdict for test in point.real if test.metric.key == self.key), "")
        marks = [tag("rect", class_="target", x=x, y=TOP - 8, width=2, height=HEIGHT + 8)]
        if interval := point.intervals.get(self.key):
            low, high = map(self._y, interval)
            marks.append(tag("line", class_="whisker", x1=x, x2=x, y1=low, y2=high))
        marks.append(tag("circle", class_="dot", cx=x, cy=y, r=5 if mark else 3.5))
        if mark:
            marks.append(tag("line", class_="mark", x1=x, x2=x, y1=TOP - 6, y2=y))
            glyph = "▼" if mark == WORSE else "▲"
            marks.append(tag("text", glyph, class_="glyph", x=x, y=TOP - 10, text_anchor="middle"))
        return tag(
            "g",
            *marks,
            class_=f"point {mark}".strip(),
            tabindex="0" if last else "-1",
            role="img",
            aria_label=text,
            data_commit=str(point.commit),
        )
