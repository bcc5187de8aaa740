"""A comparison, ready to be shown, and its numbers as text."""

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from pets.comparison.pairing import Pairing
from pets.comparison.revisions import Change, Combination, Metrics
from pets.comparison.verdicts import BETTER, CHANCE, LEVEL, WORSE, Paired, Test
from pets.galleries.figures import display_name
from pets.report.evaluation import METRICS, Metric, plural

NOT_TESTED = "not tested"


class Row(NamedTuple):
    """A metric of both sides, None where a side lacks it, and the 95% interval of the difference.

    There is an interval only where both were tested on the same images.
    """

    metric: Metric
    old: float | None
    new: float | None
    interval: tuple[float, float] | None

    @property
    def cells(self) -> list[str]:
        """The metric's name, both values, the difference and its interval, as tables show them."""
        values = [value(self.metric, each) for each in (self.old, self.new)]
        bounds = interval(self.metric, self.interval) if self.interval else ""
        return [self.metric.name, *values, difference(self), bounds]


@dataclass(frozen=True)
class Pair:
    """Two combinations and whether they differ by more than chance.

    ``paired`` is None where the predictions can't be compared, and ``missing`` then says why: they are not
    available, or (``unpairable``) they have no images in common, or different classes. ``label_name`` is what
    a label is called ("breed"). ``pictures`` are thumbnails by image_id, base64 JPEG, of the gained and lost
    images that are shown.
    """

    pairing: Pairing
    old_metrics: Metrics
    new_metrics: Metrics
    synthetic: bool
    label_name: str = "class"
    paired: Paired | None = None
    missing: str = ""
    unpairable: bool = False
    other_pictures: int = 0  # images with the same name in both, but other bytes
    pictures: dict[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The combination; where both sides differ, ``old → new`` in the place of the part that does."""
        return title(self.pairing.old, self.pairing.new)

    @property
    def tests(self) -> tuple[Test, ...]:
        """The tests, none where the predictions can't be compared."""
        return self.paired.tests if self.paired else ()

    @property
    def same(self) -> bool:
        """Whether both have the same metrics and the same prediction for every image."""
        if self.paired is None or self.old_metrics != self.new_metrics or not self.paired.complete:
            return False
        return bool((self.paired.images["old_predicted"] == self.paired.images["new_predicted"]).all())

    @property
    def remarks(self) -> list[str]:
        """What was compared, in sentences."""
        remarks = []
        if self.synthetic:
            remarks.append("Synthetic images, drawn by a program: this says nothing about real animals.")
        if self.pairing.why:
            remarks.append(f"Paired because {self.pairing.why}.")
        if not self.paired:
            return [*remarks, f"Not tested: {self.missing}."]
        one = self.paired
        if self.same:
            same = f"The same predictions for all {len(one.images):,} images, and the same metrics."
            return [*remarks, same]
        remarks.append(
            f"{len(one.images):,} images in both: {len(one.gained):,} gained, {len(one.lost):,} lost; "
            "the others are correct in both or wrong in both."
        )
        if not one.complete:
            remarks.append(
                f"The tests use only these; the metrics are of all, {one.of_old:,} and {one.of_new:,} images."
            )
        if one.relabelled:
            remarks.append(f"{one.relabelled:,} more have another label now and are left out.")
        if self.other_pictures:
            remarks.append(
                f"{self.other_pictures:,} of them are other pictures under the same name: "
                "the difference includes the effect of that, too."
            )
        return remarks

    @property
    def rows(self) -> list[Row]:
        """Every metric of either side, in the metrics' order."""
        intervals = self.paired.intervals if self.paired and self.paired.complete else {}
        return [
            Row(metric_of(key), self.old_metrics.get(key), self.new_metrics.get(key), intervals.get(key))
            for key in dict.fromkeys((*self.new_metrics, *self.old_metrics))
        ]


@dataclass(frozen=True)
class Comparison:
    """Two revisions compared. ``notes`` are what the reader must know, a sentence each."""

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
        """All tests; they were corrected together."""
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
        found = []
        for verdict in (BETTER, WORSE):
            names = dict.fromkeys(_lower(test.metric) for test in self.tests if test.verdict == verdict)
            if names:
                *first, last = names
                found.append(f"{verdict} in {', '.join(first)}{' and ' if first else ''}{last}")
        return ", ".join(found) or CHANCE

    @property
    def headline(self) -> str:
        """The verdict as a heading: ``Better in top-1 and NLL``."""
        return self.verdict[:1].upper() + self.verdict[1:]

    @property
    def result(self) -> str:
        """The verdict in a few sentences, with its numbers."""
        if not self.tests:
            return "Without the predictions of both there is no verdict, only the metrics side by side."
        if len(self.pairs) == 1:
            return " ".join(map(sentence, self.tests))
        counts = Counter(test.verdict for test in self.tests)
        verdicts = [f"{counts[each]} {each}" for each in (BETTER, WORSE, CHANCE) if counts[each]]
        return f"Of {len(self.tests)} tests, three of each pair: {', '.join(verdicts)}."


def title(old: Combination, new: Combination) -> str:
    """``data set · backbone · head``; where both differ, ``old → new`` in the place of the part that does."""
    parts = zip(old, new, strict=True)
    return " · ".join(was if was == now else f"{was} → {now}" for was, now in parts)


def sentence(test: Test) -> str:
    """A test and its verdict in a sentence: ``Top-1 92.9 → 93.9, +1.0 points (...): better.``"""
    return (
        f"{test.metric.name} {test.metric.format(test.old)} → {test.metric.format(test.new)}, "
        f"{signed(test.metric, test.difference)} {unit(test.metric)} "
        f"(95% interval {interval(test.metric, test.interval)}; p = {p_value(test.p)}, "
        f"corrected {p_value(test.corrected)}): {test.verdict}."
    )


def unit(metric: Metric) -> str:
    """The unit of a difference."""
    return "points" if metric.percent else "nats"


def _lower(metric: Metric) -> str:
    """A metric's name inside a sentence."""
    return metric.name if metric.name.isupper() else metric.name[:1].lower() + metric.name[1:]


def value(metric: Metric, number: float | None) -> str:
    """A metric's value as tables show it, a dash where there is none."""
    return "–" if number is None else metric.format(number)


def difference(row: Row) -> str:
    """A row's difference with its sign, a dash where a side lacks it."""
    return "–" if row.old is None or row.new is None else signed(row.metric, row.new - row.old)


def movement(pair: Pair, most: int) -> str:
    """The classes whose accuracy changed most, in a sentence; empty where there are none."""
    if pair.paired is None or pair.paired.moved.empty:
        return ""
    moved = pair.paired.moved
    shown = [
        f"{display_name(each['label'])} {count(each['gained'] - each['lost'])} of {each['images']}"
        for each in moved.head(most).to_dict("records")
    ]
    more = f" and {len(moved) - most} more" if len(moved) > most else ""
    beyond = [display_name(label) for label in moved.loc[moved["p"] < LEVEL, "label"]]
    alone = (
        f"more than chance by itself: {', '.join(beyond)}" if beyond else "none more than chance by itself"
    )
    name = plural(pair.label_name).capitalize()
    classes = len(pair.paired.classes)
    return f"{name} that changed: {', '.join(shown)}{more} ({alone}, corrected for {classes})."


def correction(comparison: Comparison) -> str:
    """How the verdicts were reached, as a note."""
    return (
        "Top-1: McNemar's exact test; mean per-class and NLL: randomization tests. Intervals: paired "
        f"bootstrap of {comparison.samples:,} samples, not corrected. Verdicts: p below {LEVEL} after "
        f"Holm's correction for all {len(comparison.tests)} tests."
    )


def signed(metric: Metric, value: float) -> str:
    """A difference with its sign, in percentage points or nats; with one more digit where it is small."""
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
    """Two significant digits: ``0.012``."""
    return f"{p:.2g}" if p >= 0.0001 else "<0.0001"


def metric_of(key: str) -> Metric:
    """The metric of that key; those of species, ``species_<key>``, are named so."""
    if key.startswith("species_"):
        metric = metric_of(key.removeprefix("species_"))
        return replace(metric, name=f"Species {metric.name}", task="species")
    known = next((each for each in METRICS if each.key == key and each.task is None), None)
    return known or Metric(key, key, "", percent=False)
