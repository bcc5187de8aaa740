"""dvc.lock of a commit: the md5 of each output, and what every stage ran with."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pets.comparison.revisions import EVALUATIONS, Combination

SCHEMA = re.compile(r"schema: (['\"])2\.0\1\n")
OUTPUT = re.compile(r"    - path: (\S+)\n(?:      (?!md5:).*\n)*      md5: ([0-9a-f]{32}(?:\.dir)?)\n")
BLOCK = re.compile(r"  \S.*\n(?:(?:   .*)?\n)*")  # a stage, as DVC writes it


class DamagedError(Exception):
    """dvc.lock cannot be read; the message says why."""


@dataclass(frozen=True)
class Stage:
    """What a stage ran with and what it wrote: md5 by path, and parameters by dotted key."""

    deps: dict[str, str]
    params: dict[str, Any]
    outs: dict[str, str]


class Lock:
    """The stages of a dvc.lock, by its text.

    Raises DamagedError where that is empty, not YAML, or of another version of DVC.

    A stage is parsed when it is asked for, and once however many commits have it: the whole files of 500
    commits would take minutes.
    """

    def __init__(self, text: str) -> None:
        if not text:
            raise DamagedError("is missing")
        head, _, body = text.partition("stages:\n")
        blocks = [each[0] for each in BLOCK.finditer(body)]
        if SCHEMA.fullmatch(head) and "".join(blocks) == body:
            self._blocks = {each.split(":\n")[0].strip(): each for each in blocks}
            return
        content = _mapping(text)  # not as DVC writes it
        if content.get("schema") != "2.0":
            raise DamagedError("is of another version of DVC")
        stages = content.get("stages") or {}
        self._blocks = {name: json.dumps({name: stage}, default=str) for name, stage in stages.items()}

    @cached_property
    def evaluated(self) -> dict[str, str]:
        """The md5 of every output of the stages ``evaluate``, by path."""
        blocks = [block for name, block in self._blocks.items() if name.startswith("evaluate")]
        return {path: md5 for block in blocks for path, md5 in _outs(block).items()}

    def output(self, combination: Combination, name: str) -> str | None:
        """The md5 of an output of a combination's evaluation, None if there is no such."""
        return self.evaluated.get(f"{EVALUATIONS}/{combination}/{name}")

    def data(self, dataset: str) -> frozenset[str]:
        """The md5 of a data set's catalog and splits, as far as there are such."""
        files = {f"data/{dataset}/{name}.parquet" for name in ("catalog", "splits")}
        blocks = [block for name, block in self._blocks.items() if name.startswith(("catalog", "split"))]
        return frozenset(md5 for block in blocks for path, md5 in _outs(block).items() if path in files)

    @cached_property
    def stages(self) -> list[Stage]:
        """All stages, parsed."""
        return [_stage(block) for block in self._blocks.values()]


EMPTY = Lock("schema: '2.0'\nstages:\n")


@cache
def _stage(block: str) -> Stage:
    try:
        [content] = _mapping(block).values()
        deps, outs = (
            {each["path"]: str(each.get("md5")) for each in content.get(key) or []}
            for key in ("deps", "outs")
        )
        files = (content.get("params") or {}).values()
        return Stage(deps, {key: value for file in files for key, value in file.items()}, outs)
    except (AttributeError, KeyError, TypeError, ValueError):
        raise DamagedError("has a stage without the entries that DVC writes") from None


def _outs(block: str) -> dict[str, str]:
    """The md5 of a stage's outputs by path, found without a parser where they are as DVC writes them."""
    _, _, outs = block.partition("\n    outs:\n")
    found = dict(OUTPUT.findall(outs))
    return found if found and len(found) == outs.count("path:") else _stage(block).outs


def _mapping(text: str) -> Mapping[str, Any]:
    try:
        content = YAML(typ="safe").load(text)
    except YAMLError:
        raise DamagedError("is not valid YAML") from None
    if not isinstance(content, Mapping):
        raise DamagedError("is not valid YAML")
    return content
