"""What changed between two commits, by dvc.lock, as far as it reached the predictions of a combination."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pets.comparison.revisions import EVALUATIONS, Combination
from pets.history.lock import Lock, Stage

CODE = 3  # files named
PARTS = ("data set", "backbone", "head")  # of a combination


def causes(old: Lock, new: Lock, before: Combination, after: Combination) -> list[str]:
    """``parameter split.seed: 1 → 2``, ``code: pets/classifier``, ``data: catalog.parquet``.

    Starting from the evaluation, only stages are looked at of which an output differs that was used.
    Raises DamagedError.
    """
    names = [
        f"{part}: {was} → {now}" for part, was, now in zip(PARTS, before, after, strict=True) if was != now
    ]
    was, now = _by_output(old, before), _by_output(new, after)
    params: dict[str, None] = {}
    data: list[str] = []
    code: list[str] = []
    seen: set[str] = set()
    queue = [f"{EVALUATIONS}/<data set>/<backbone>/<head>/predictions.parquet"]
    while queue:
        path = queue.pop()
        stages = _producer(was, path), _producer(now, path)
        if None in stages or path in seen:
            continue
        seen.add(path)
        earlier, later = (each for each in stages if each)
        params |= dict.fromkeys(_params(earlier, later))
        for dep in _differing(earlier.deps, later.deps):
            if _producer(was, dep) and _producer(now, dep):
                queue.append(dep)
                if re.match("data/<data set>/(catalog|splits)", dep):
                    data.append(dep.rpartition("/")[2])
            elif inside := [output for output in was | now if output.startswith(f"{dep}/")]:
                queue += inside  # a folder of several stages' outputs
            elif dep == "audits":
                data.append("decisions in audits/")
            else:
                code.append(dep)
    if code:
        files = list(dict.fromkeys(code))
        more = f" and {len(files) - CODE} more" if len(files) > CODE else ""
        names.append(f"code: {', '.join(files[:CODE])}{more}")
    if data:
        names.append(f"data: {', '.join(dict.fromkeys(data))}")
    found = "\n".join((*names, *params))
    for name, part in zip(after, PARTS, strict=True):
        found = found.replace(f"<{part}>", name)
    return found.split("\n") if found else []


def _by_output(lock: Lock, combination: Combination) -> dict[str, Stage]:
    """The stages by their outputs; in all keys the combination's names are <data set>, <backbone>, <head>."""
    found: dict[str, Stage] = {}
    for stage in lock.stages:
        general = Stage(*(_general(each, combination) for each in (stage.deps, stage.params, stage.outs)))
        found |= dict.fromkeys(general.outs, general)
    return found


def _general(entries: Mapping[str, Any], combination: Combination) -> dict[str, Any]:
    """The entries with the combination's names in their keys replaced."""
    replaced = {}
    for key, value in entries.items():
        for name, part in zip(combination, PARTS, strict=True):
            key = re.sub(rf"(?<=[/.]){re.escape(name)}(?=[/.]|$)", f"<{part}>", key)
        replaced[key] = value
    return replaced


def _producer(stages: Mapping[str, Stage], path: str) -> Stage | None:
    """The stage that writes the path, or a folder that it lies in."""
    while path not in stages:
        path, slash, _ = path.rpartition("/")
        if not slash:
            return None
    return stages[path]


def _params(earlier: Stage, later: Stage) -> Iterator[str]:
    was, now = dict(_leaves(earlier.params)), dict(_leaves(later.params))
    for key in _differing(was, now):
        yield f"parameter {key}: {_short(was.get(key))} → {_short(now.get(key))}"


def _leaves(params: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in params.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _differing(was: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    return [key for key in dict.fromkeys((*was, *now)) if was.get(key) != now.get(key)]


def _short(value: Any) -> str:
    text = "none" if value is None else str(value).replace("'", "")
    return text if len(text) <= 40 else f"{text[:37]}..."
