"""A history, ready to be shown, and its numbers as text."""

import shlex
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby, pairwise

from pets.comparison.result import metric_of, p_value, signed, title, unit, value
from pets.comparison.revisions import Combination, Metrics
from pets.comparison.verdicts import BETTER, LEVEL, WORSE, Tested
from pets.history.commits import Commit
from pets.history.steps import Step

SHOWN = ("top1", "mean_per_class", "nll", "species_top1")  # the headline metrics; the first three are tested


@dataclass(frozen=True)
class Point:
    """A combination in a commit.

    ``commit`` is its place in the history, and ``against`` that of the commit that ``step`` compares it with,
    where the combination is called ``before``.
    ``intervals`` are the 95% intervals of its metrics, where its evaluation is available. ``missing`` says
    why its predictions are not, ``remark`` why there is no step, ``causes`` what changed where it is real.
    """

    commit: int
    combination: Combination
    metrics: Metrics
    intervals: dict[str, tuple[float, float]]
    against: int | None = None
    before: Combination | None = None
    step: Step | None = None
    missing: str = ""
    remark: str = ""
    causes: tuple[str, ...] = ()

    @property
    def real(self) -> tuple[Tested, ...]:
        """The metrics that differ by more than chance from the commit before, or the baseline."""
        return self.step.real if self.step else ()

    @property
    def title(self) -> str:
        """The combination, and what it was before, where that differs."""
        return title(self.before or self.combination, self.combination)

    @property
    def mark(self) -> str:
        """``worse`` where any metric is, else ``better``, empty where the step is no more than chance."""
        verdicts = {test.verdict for test in self.real}
        return WORSE if WORSE in verdicts else next(iter(verdicts), "")


@dataclass(frozen=True)
class Line:
    """A combination over the commits that have it, whatever it was called there."""

    points: tuple[Point, ...]
    synthetic: bool

    @property
    def name(self) -> str:
        """What it is called in the last commit that has it."""
        return title(self.points[-1].combination, self.points[-1].combination)

    @property
    def renamings(self) -> list[tuple[int, str]]:
        """The places of the commits in which its name changed, and the change."""
        pairs = pairwise(self.points)
        return [
            (new.commit, title(old.combination, new.combination))
            for old, new in pairs
            if old.combination != new.combination
        ]


@dataclass(frozen=True)
class History:
    """Commits, the earliest first, and a line for each combination.

    ``baseline`` is the place of the commit that all others are compared with, None where each is compared
    with the one before. ``counted`` is the number of tests that were corrected together; ``notes`` are what
    the reader must know, a sentence each.
    """

    commits: tuple[Commit, ...]
    lines: tuple[Line, ...]
    counted: int
    baseline: int | None
    notes: tuple[str, ...]

    @cached_property
    def real(self) -> list[tuple[Line, Point]]:
        """The points that differ by more than chance from the one before, or the baseline, by commit."""
        found = [(line, point) for line in self.lines for point in line.points if point.real]
        return sorted(found, key=lambda each: each[1].commit)

    @property
    def marked(self) -> dict[int, list[tuple[Line, Point]]]:
        """The real points by the places of their commits."""
        return {at: list(each) for at, each in groupby(self.real, key=lambda found: found[1].commit)}

    @property
    def headline(self) -> str:
        """How many commits are marked, as a heading."""
        if not any(point.step for line in self.lines for point in line.points):
            return "No step could be tested"
        of = len(self.commits) - 1
        kind = "step" if self.baseline is None else "commit"
        return f"{len(self.marked) or 'None'} of {of} {kind}{'' if of == 1 else 's'} beyond chance"

    @property
    def span(self) -> str:
        """The first and the last commit."""
        count = sum(bool(commit.sha) for commit in self.commits)
        workspace = "" if count == len(self.commits) else " and the workspace"
        commits = f"{count} commit{'' if count == 1 else 's'}{workspace}"
        return f"{self.commits[0].name} to {self.commits[-1].name}, {commits}"

    @property
    def synthetic(self) -> list[str]:
        """The data sets whose pictures a program drew."""
        points = (point for line in self.lines if line.synthetic for point in line.points)
        return list(dict.fromkeys(point.combination.dataset for point in points))

    @property
    def metrics(self) -> list[str]:
        """The metrics that any point has, in the order shown."""
        found = {key for line in self.lines for point in line.points for key in point.metrics}
        return [key for key in SHOWN if key in found]

    @property
    def correction(self) -> str:
        """How the verdicts were reached, as a note."""
        against = "the one before that has predictions"
        if self.baseline is not None:
            against = f"the baseline {self.commits[self.baseline].name}"
        return (
            f"Each commit is tested against {against}, on the images that both were tested on with the same "
            "label. Top-1: McNemar's exact test; mean per-class and NLL: randomization tests. A step is "
            f"marked where p is below {LEVEL} after Holm's correction for all {self.counted:,} tests that "
            "could be: where only chance is at work, at most 5 of 100 histories show any mark. NLL, which "
            "every new fit changes a little on every image, marks a step only where it also leaves the "
            "interval of the one before. The same predictions need no test. The intervals are of each commit "
            "alone."
        )


def remarks(history: History) -> list[str]:
    """What the reader must know, a sentence each: the notes, and which images are synthetic."""
    names = ", ".join(history.synthetic)
    drawn = f"The images of {names} are synthetic, drawn by a program: this says nothing about real animals."
    return [*([drawn] if names else []), *history.notes]


def ended(history: History, line: Line) -> str:
    """Where a line ends before the history does, in a sentence; else empty."""
    last = line.points[-1].commit
    later = [commit for commit in history.commits[last + 1 :] if commit.metrics]
    return f"Not evaluated after {history.commits[last].name}." if later else ""


def sentence(test: Tested) -> str:
    """``Top-1 92.9 → 93.9, +1.0 points (p = 0.0001, corrected 0.003): better``."""
    return f"{change(test)} ({p_values(test)}): {test.verdict}"


def change(test: Tested) -> str:
    """``Top-1 92.9 → 93.9, +1.0 points``."""
    values = f"{test.metric.format(test.old)} → {test.metric.format(test.new)}"
    return f"{test.metric.name} {values}, {signed(test.metric, test.difference)} {unit(test.metric)}"


def p_values(test: Tested) -> str:
    """``p = 0.0001, corrected 0.003``."""
    p, corrected = (p_value(each).replace("<", "< ") for each in (test.p, test.corrected))
    return f"p {p if p.startswith('<') else f'= {p}'}, corrected {corrected}"


def images(step: Step) -> str:
    """On how many images a step was tested: ``1,417 images: 12 gained, 9 lost``."""
    shown = f"{step.images:,} images"
    if step.tests:
        shown += f": {step.gained:,} gained, {step.lost:,} lost"
    if step.images == step.of_old == step.of_new:
        return shown
    return f"{shown}; these are in both, of {step.of_old:,} before and {step.of_new:,} now"


def measured(key: str, point: Point) -> str:
    """A metric's value with its interval, if there is one: ``92.9 [91.4, 94.3]``."""
    metric = metric_of(key)
    shown = value(metric, point.metrics.get(key))
    if key not in point.intervals:
        return shown
    low, high = point.intervals[key]
    return f"{shown} [{metric.format(low)}, {metric.format(high)}]"


def verdict(point: Point) -> str:
    """What the test says of a point, in a word."""
    if point.step is None:
        return "metrics alone" if point.missing else "not tested" if point.remark else "first"
    if not point.step.tests:
        return "= same"
    alike = "≈ in NLL" if point.step.beyond_chance else "≈ chance"
    return {BETTER: "▲ better", WORSE: "▼ worse"}.get(point.mark, alike)


def command(history: History, point: Point) -> str:
    """The command that compares a point with the one that it was tested against."""
    names = [history.commits[at].name for at in (point.against, point.commit) if at is not None]
    return f"python -m flows.compare {shlex.join(names)}"
