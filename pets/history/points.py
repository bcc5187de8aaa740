"""The points of one combination's line: its metrics, and each against the point before or the baseline's."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Any, NamedTuple

from pets.comparison.revisions import Combination, Metrics, flat
from pets.history.causes import causes
from pets.history.commits import Commit
from pets.history.follow import Trail
from pets.history.lock import DamagedError
from pets.history.outcomes import MissingError, Outcomes, Outputs
from pets.history.result import SHOWN, Point
from pets.history.steps import Difference, Step, UnpairableError, difference

SAME = 1e-9  # top-1 of the predictions and of the metrics
NOTHING = "nothing that dvc.lock records: another machine, or a library's version"


@dataclass(frozen=True)
class Drawn:
    """A line's points; ``pending`` are the steps still to be tested, by place."""

    points: list[Point]
    pending: dict[int, Difference]


class _Read(NamedTuple):
    point: Point
    md5: str
    outcomes: Outcomes

    @property
    def nll_margins(self) -> tuple[float, float]:
        """How far below and above its NLL the 95% interval reaches; infinitely far where it is unknown."""
        value = self.point.metrics.get("nll", 0)
        low, high = self.point.intervals.get("nll", (-inf, inf))
        return low - value, high - value


def draw(
    commits: Sequence[Commit],
    trail: Trail,
    outputs: Outputs,
    baseline: int | None,
    report: Callable[[], Any],
) -> Drawn:
    """The points of a trail. ``report`` is called for each."""
    drawn = Drawn([], {})
    reference: _Read | None = None
    why = ""  # it is the first of its line
    if baseline is not None and baseline not in trail:
        why = "not in the baseline"
    elif baseline is not None:
        try:
            reference = _read(commits, _point(commits, baseline, trail[baseline], outputs), outputs)
        except MissingError as error:
            why = f"the baseline's predictions {error}"
    for at, combination in trail.items():
        point = _point(commits, at, combination, outputs)
        report()
        try:
            read = _read(commits, point, outputs)
        except MissingError as error:
            drawn.points.append(replace(point, missing=str(error)))
            continue
        if reference is None:
            point = replace(point, remark=why)
        elif at != baseline:
            point = replace(point, against=reference.point.commit, before=reference.point.combination)
            if reference.md5 == read.md5:
                images = len(read.outcomes.correct)
                point = replace(point, step=Step(images, images, images, 0, 0))
            else:
                try:
                    drawn.pending[len(drawn.points)] = difference(
                        reference.outcomes, read.outcomes, reference.nll_margins
                    )
                except UnpairableError as error:
                    point = replace(point, remark=f"not tested: {error}")
        if baseline is None:
            reference = read
        drawn.points.append(point)
    return drawn


def explained(commits: Sequence[Commit], outputs: Outputs, point: Point, line: Mapping[int, Point]) -> Point:
    """The point with what changed, if its step is real. ``line`` has all points of its line, by commit."""
    if not point.real or point.against is None:
        return point
    before = line[point.against]
    old, new = commits[before.commit].lock, commits[point.commit].lock
    try:
        found = causes(old, new, before.combination, point.combination)
    except DamagedError as error:
        found = [f"dvc.lock {error}"]
    versions = [_provenance(outputs, commits[each.commit], each) for each in (before, point)]
    if before.combination.backbone != point.combination.backbone:
        versions[0].pop("weights", None)
    found += _environment(*versions)
    return replace(point, causes=tuple(found or [NOTHING]))


def _point(commits: Sequence[Commit], at: int, combination: Combination, outputs: Outputs) -> Point:
    """A combination's metrics in a commit, with their intervals."""
    metrics = commits[at].metrics[combination]
    shown: Metrics = {key: metrics[key] for key in SHOWN if key in metrics}
    return Point(at, combination, shown, _intervals(commits[at], combination, outputs))


def _read(commits: Sequence[Commit], point: Point, outputs: Outputs) -> _Read:
    """The predictions of a point. Raises MissingError."""
    lock, combination = commits[point.commit].lock, point.combination
    md5 = lock.output(combination, "predictions.parquet")
    outcomes = outputs.outcomes(md5, lock.output(combination, "provenance.json"))
    if abs(outcomes.correct.mean() - point.metrics.get("top1", -1)) > SAME:
        raise MissingError(
            "do not have the top-1 of their metrics; dvc.lock and evaluations/ have to be committed together"
        )
    return _Read(point, str(md5), outcomes)


def _intervals(commit: Commit, combination: Combination, outputs: Outputs) -> dict[str, tuple[float, float]]:
    """The 95% intervals in scores.json, none where that is not available."""
    try:
        scores = outputs.json(commit.lock.output(combination, "scores.json"))
        bounds: Any = {
            task: {key: (each["low"], each["high"]) for key, each in metrics.items()}
            for task, metrics in scores.items()
        }
    except (MissingError, AttributeError, KeyError, TypeError):  # or it is of another layout
        return {}
    intervals: Any = flat(bounds)
    return {key: each for key, each in intervals.items() if key in SHOWN}


def _provenance(outputs: Outputs, commit: Commit, point: Point) -> dict[str, str]:
    """The versions and the weights that predictions were made with."""
    try:
        content = outputs.json(commit.lock.output(point.combination, "provenance.json"))
    except MissingError:
        return {}
    weights = (content.get("backbone") or {}).get("weights_sha256", "")
    return {"weights": str(weights)[:7], **(content.get("versions") or {})}


def _environment(old: dict[str, str], new: dict[str, str]) -> list[str]:
    return [f"{key}: {old[key]} → {new[key]}" for key in old if key in new and old[key] != new[key]]
