"""params.yaml, typed and checked.

A stage reads exactly the keys that dvc.yaml names as its params (a test compares the two), each as the
pydantic model that describes it. The names in ``run`` are checked by every stage before it starts, so that a
mistyped backbone is reported before the first download and not after it.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from ruamel.yaml import YAML, YAMLError
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from pets.core import names
from pets.core.errors import UserError, nearest
from pets.core.files import atomic

FILE = Path("params.yaml")
T = TypeVar("T")


class Section(BaseModel):
    """A part of params.yaml: no key but the declared ones, and values that do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Run(Section):
    """What a run is made of: every stage runs for each combination."""

    datasets: list[str] = Field(min_length=1)
    backbones: list[str] = Field(min_length=1)
    heads: list[str] = Field(min_length=1)
    finetune: list[str] = []  # backbones


class Exported(Section):
    """An item of ``export.models``."""

    backbone: str
    head: str


def read(key: str, model: type[T]) -> T:
    """The value under a dotted key of params.yaml, as ``model`` (a pydantic model or any annotated type).

    Raises UserError where the file, the key or a value is wrong.
    """
    content = _load()
    _check_run(content)
    checked: T = check(content, key, model)
    return checked


def check_names(where: str, kind: str, listed: Iterable[str]) -> None:
    """UserError where the value ``where`` holds an unknown name; see `pets.core.names.check`.

    It is not a `read`: what a stage makes does not depend on which other names there are.
    """
    names.check(_load(), where, kind, listed)


def folders(content: Mapping[str, Any]) -> list[str]:
    """The data sets of the run that are read from a folder: what the list ``folders`` has to be."""
    entries = {name: content["datasets"][name] for name in content["run"]["datasets"]}
    return [name for name, entry in entries.items() if isinstance(entry, Mapping) and entry.get("path")]


def override(assignments: list[str], complete: Callable[[Any, list[str]], None] = lambda *_: None) -> None:
    """Write ``key=value`` pairs (dotted keys, YAML values) into params.yaml and keep its comments.

    Only under ``datasets`` may a key be new; the list ``folders`` is brought up to date. ``complete`` is
    called before anything is written, with the content and the names of the data sets that were set. It is
    written as `dvc exp run -S` writes it.
    """
    yaml = YAML()
    yaml.preserve_quotes = True
    _load()  # reports a broken file
    content: Any = yaml.load(FILE)
    datasets: list[str] = []
    for assignment in assignments:
        key, _, value = assignment.partition("=")
        *parents, last = key.split(".")
        may_be_new = parents[:1] == ["datasets"]
        section: Any = content
        for name in (*parents, last):
            if not isinstance(section, CommentedMap) or not (may_be_new or name in section):
                known = section if isinstance(section, CommentedMap) else ()
                raise UserError(f"{FILE} has no '{key}' to set; {nearest(name, map(str, known))}")
            parent, section = section, section.get(name) if name in section else _make(section, name)
        try:
            parent[last] = _as_blocks(YAML().load(value))
        except YAMLError as error:
            raise UserError(f"{key}={value} is not valid YAML: {' '.join(str(error).split())}") from None
        datasets += [parents[1] if parents[1:] else last] if may_be_new else []
    _check_run(content)
    complete(content, datasets)
    if (listed := folders(content)) != content.get("folders"):
        content["folders"] = listed
    with atomic(FILE) as temporary:
        yaml.dump(content, temporary)


def _as_blocks(value: Any) -> Any:
    """The value with its lists written an item a line, as `dvc exp run -S` rewrites all lists."""
    if isinstance(value, CommentedSeq) and value:
        value.fa.set_block_style()
        for each in value:
            if isinstance(each, CommentedMap):
                each.fa.set_block_style()
    for each in value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ():
        _as_blocks(each)
    return value


def _make(section: CommentedMap, name: str) -> CommentedMap:
    """A new section in another; a new data set goes before the others, whose comments stay with them."""
    sections = any(isinstance(each, Mapping) for each in section.values())
    section.insert(0 if sections else len(section), name, made := CommentedMap())
    return made


def _load() -> Any:
    if not FILE.exists():
        raise UserError(f"there is no {FILE} in {Path.cwd()}; run from the project's root.")
    try:
        content = YAML(typ="safe").load(FILE)
    except YAMLError as error:
        raise UserError(f"{FILE} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, Mapping):
        raise UserError(f"{FILE} must hold sections (run:, embed:, ...), not {type(content).__name__}.")
    return content


def check(content: Any, key: str, model: Any) -> Any:
    """The value under a dotted key of params.yaml's content, as ``model``; see `read`."""
    value = content
    for depth, part in enumerate(parts := key.split(".")):
        if not isinstance(value, Mapping) or part not in value:
            where = ".".join(parts[:depth]) or FILE.name
            siblings = value if isinstance(value, Mapping) else ()
            raise UserError(f"{FILE}: '{part}' is not in {where}; {nearest(part, map(str, siblings))}")
        value = value[part]
    try:
        return TypeAdapter(model).validate_python(value)
    except ValidationError as error:
        raise UserError(f"{FILE}: {_first(error, key, model)}") from None


def _first(error: ValidationError, key: str, model: Any) -> str:
    """The first error of a section, in one line."""
    # A mistyped key is both unknown and, under its right name, missing: the first of these says more.
    problem = min(error.errors(), key=lambda each: each["type"] != "extra_forbidden")
    where = ".".join([key, *map(str, problem["loc"])])
    if problem["type"] == "extra_forbidden" and isinstance(model, type) and issubclass(model, BaseModel):
        return f"'{where}' is not a parameter; {nearest(str(problem['loc'][-1]), model.model_fields)}"
    if problem["type"] == "missing":
        return f"'{where}' is missing; add it (params.yaml in the repository shows every parameter)."
    if problem["type"] == "list_type":
        return f"'{where}' is {problem['input']!r}, and has to be a list: [{problem['input']}]."
    return f"'{where}' is {problem['input']!r}: {problem['msg']}."


def _check_run(content: Any) -> None:
    check(content, "datasets", dict[str, Any])
    run = check(content, "run", Run)
    for kind in Run.model_fields:
        listed = getattr(run, kind)
        names.check(content, f"run.{kind}", kind, listed)
        for name in listed:
            if listed.count(name) > 1:
                raise UserError(f"{FILE}: run.{kind} names '{name}' twice; keep one.")
    names.check_finetuned(run.finetune, run.backbones, run.heads)
    models = check(content, "export.models", list[Exported]) if "export" in content else []
    for each in models:
        if models.count(each) > 1:
            raise UserError(f"{FILE}: export.models names {each.backbone} with {each.head} twice; keep one.")
        if each.backbone not in run.backbones or each.head not in run.heads:
            raise UserError(
                f"{FILE}: export.models names {each.backbone} with {each.head}, which the run doesn't train; "
                "add these to run.backbones and run.heads, or take them out."
            )
