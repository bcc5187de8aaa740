"""A whole comparison, ready to be shown, and the words for its numbers."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from flows.comparison.pairing import Pairing
from flows.comparison.verdicts import BETTER, CHANCE, LEVEL, WORSE, Paired, Test
from flows.revisions import Change, Combination, Metrics
from stages.pictures.evaluation import HEADLINE, Metric, plural, readable

NOT_TESTED = "not tested"


class Row(NamedTuple):
    """A metric of both sides as DVC has it, None where a side lacks it, and the difference's 95% interval.

    There is an interval only where both were tested on the same images.
    """

    metric: Metric
    old: float | None
    new: float | None
    interval: tuple[float, float] | None


@dataclass(frozen=True)
class Pair:
    """Two combinations and what their difference is worth.

    ``paired`` is None where the predictions can't be compared, and ``missing`` then says why: they can't be
    had, or (``unpairable``) they have no images, or not the same classes, in common. ``pictures`` are
    thumbnails by image_id, base64 JPEG, of the gained and lost images that are shown.
    """

    pairing: Pairing
    old_metrics: Metrics
    new_metrics: Metrics
    drawn: bool
    paired: Paired | None = None
    missing: str = ""
    unpairable: bool = False
    other_pictures: int = 0  # images that bear the same name in both, but not the same bytes
    pictures: dict[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The combination; where both sides differ, ``old → new`` in the place of the part that does."""
        parts = zip(self.pairing.old, self.pairing.new, strict=True)
        return " · ".join(old if old == new else f"{old} → {new}" for old, new in parts)

    @property
    def label_name(self) -> str:
        """What a label is called: ``breed``."""
        return next(iter(self.new_metrics))

    @property
    def tests(self) -> tuple[Test, ...]:
        """The tests, none where the predictions can't be compared."""
        return self.paired.tests if self.paired else ()

    @property
    def same(self) -> bool:
        """Whether both have the same metrics and made the same guess on every image."""
        if self.paired is None or self.old_metrics != self.new_metrics or not self.paired.whole:
            return False
        return bool((self.paired.images["old_guess"] == self.paired.images["new_guess"]).all())

    @property
    def remarks(self) -> list[str]:
        """What was compared, a sentence each."""
        told = []
        if self.drawn:
            told.append("Drawn, not photographs: this says nothing about real animals.")
        if self.pairing.why:
            told.append(f"Paired because {self.pairing.why}.")
        if not self.paired:
            return [*told, f"Not tested: {self.missing}."]
        one = self.paired
        if self.same:
            return [*told, f"The same guess on each of {len(one.images):,} images, and the same metrics."]
        told.append(
            f"{len(one.images):,} images in both: {len(one.gained):,} gained, {len(one.lost):,} lost; "
            "the others are right in both or wrong in both."
        )
        if not one.whole:
            told.append(
                f"The tests are on these; the metrics are of all, {one.of_old:,} and {one.of_new:,} images."
            )
        if one.relabelled:
            told.append(f"{one.relabelled:,} more have another label now and are left out.")
        if self.other_pictures:
            told.append(
                f"{self.other_pictures:,} of them are other pictures under the same name: "
                "the difference holds what that does, too."
            )
        return told

    @property
    def rows(self) -> list[Row]:
        """Every metric that DVC has of either side, in its order."""
        names = {
            (task, key): None
            for side in (self.new_metrics, self.old_metrics)
            for task in side
            for key in side[task]
        }
        intervals = self.paired.intervals if self.paired and self.paired.whole else {}
        return [
            Row(
                _metric(task, key, self.label_name),
                self.old_metrics.get(task, {}).get(key),
                self.new_metrics.get(task, {}).get(key),
                intervals.get(key) if task == self.label_name else None,
            )
            for task, key in names
        ]


@dataclass(frozen=True)
class Comparison:
    """Two revisions compared. ``notes`` are what one must know to read it, a sentence each."""

    old: str
    new: str
    pairs: list[Pair]
    only_old: list[Combination]
    only_new: list[Combination]
    params: list[Change]
    notes: list[str]
    samples: int  # of the bootstrap

    @property
    def tests(self) -> list[Test]:
        """All tests, which were corrected together."""
        return [test for pair in self.pairs for test in pair.tests]

    @property
    def worse(self) -> bool:
        """Whether any metric is worse by more than chance."""
        return any(test.verdict == WORSE for test in self.tests)

    @property
    def verdict(self) -> str:
        """All verdicts in a few words: ``better in top-1 and NLL``, or ``no more than chance``."""
        if not self.tests:
            return NOT_TESTED
        told = []
        for verdict in (BETTER, WORSE):
            names = dict.fromkeys(_within(test.metric) for test in self.tests if test.verdict == verdict)
            if names:
                told.append(f"{verdict} in {_and(list(names))}")
        return ", ".join(told) or CHANCE

    @property
    def headline(self) -> str:
        """The verdict as a heading: ``Better in top-1 and NLL``."""
        return self.verdict[:1].upper() + self.verdict[1:]

    @property
    def finding(self) -> str:
        """The verdict in a few sentences, with its numbers."""
        if not self.tests:
            return "Without the predictions of both there is no verdict: the metrics stand side by side."
        if len(self.pairs) == 1:
            return " ".join(map(sentence, self.tests))
        counts = Counter(test.verdict for test in self.tests)
        told = [f"{counts[each]} {each}" for each in (BETTER, WORSE, CHANCE) if counts[each]]
        return f"Of {len(self.tests)} tests, three of each pair: {', '.join(told)}."


def sentence(test: Test) -> str:
    """A test and its verdict in a sentence: ``Top-1 92.9 → 93.9, +1.0 points (...): better.``"""
    return (
        f"{test.metric.name} {test.metric.text(test.old)} → {test.metric.text(test.new)}, "
        f"{signed(test.metric, test.difference)} {unit(test.metric)} "
        f"(95% interval {interval(test.metric, test.interval)}; p = {p_value(test.p)}, "
        f"corrected {p_value(test.corrected)}): {test.verdict}."
    )


def unit(metric: Metric) -> str:
    """What a difference is counted in."""
    return "points" if metric.percent else "nats"


def _within(metric: Metric) -> str:
    """A metric's name within a sentence."""
    return metric.name if metric.name.isupper() else metric.name[:1].lower() + metric.name[1:]


def _and(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def value(metric: Metric, number: float | None) -> str:
    """A metric's value as tables show it, a dash where there is none."""
    return "–" if number is None else metric.text(number)


def difference(row: Row) -> str:
    """A row's difference with its sign, a dash where a side lacks it."""
    return "–" if row.old is None or row.new is None else signed(row.metric, row.new - row.old)


def movement(pair: Pair, most: int) -> str:
    """The classes that moved most, in a sentence; nothing where none did or none could be compared."""
    if pair.paired is None or pair.paired.moved.empty:
        return ""
    moved = pair.paired.moved
    shown = [
        f"{readable(each['label'])} {count(each['gained'] - each['lost'])} of {each['images']}"
        for each in moved.head(most).to_dict("records")
    ]
    more = f" and {len(moved) - most} more" if len(moved) > most else ""
    sure = [readable(label) for label in moved.loc[moved["p"] < LEVEL, "label"]]
    told = f"more than chance by itself: {', '.join(sure)}" if sure else "none by itself more than chance"
    name = plural(pair.label_name).capitalize()
    return f"{name} that moved: {', '.join(shown)}{more} ({told}, corrected for {len(pair.paired.classes)})."


def correction(comparison: Comparison) -> str:
    """How the verdicts were reached, for the small print."""
    return (
        "Top-1: McNemar's exact test; mean per-class and NLL: randomization tests. Intervals: paired "
        f"bootstrap of {comparison.samples:,} samples, each for itself. Verdicts: p below {LEVEL} after "
        f"Holm's correction for all {len(comparison.tests)} tests."
    )


def signed(metric: Metric, value: float) -> str:
    """A difference with its sign, in percentage points or nats; finer where it is small."""
    value, digits = (100 * value, 1) if metric.percent else (value, 3)
    if value and abs(value) < 0.5 * 10**-digits:
        digits += 1
    written = f"{abs(value):.{digits}f}"
    return written if not float(written) else f"{'+' if value > 0 else '−'}{written}"


def count(number: int) -> str:
    """A number of images with its sign: ``+3``, ``−2``."""
    return f"{number:+d}".replace("-", "−")


def interval(metric: Metric, bounds: tuple[float, float]) -> str:
    """``−0.2 to +1.8``."""
    return " to ".join(signed(metric, each) for each in bounds)


def p_value(p: float) -> str:
    """Two digits that count: ``0.012``."""
    return f"{p:.2g}" if p >= 0.0001 else "<0.0001"


def _metric(task: str, key: str, label_name: str) -> Metric:
    """The headline metric of that key, named with its task where that is not the label's own."""
    known = next((each for each in HEADLINE if each.key == key and each.task is None), None)
    metric = known or Metric(key, key, "", percent=False)
    return (
        metric if task == label_name else replace(metric, name=f"{readable(task)} {metric.name}", task=task)
    )
