"""What `dvc plots` shows, read from the Vega-Lite specifications on the page that it writes."""

import json
import re
from collections.abc import Iterator
from typing import Any


def specs(page: str) -> dict[str, dict[str, Any]]:
    """Each plot's specification, by the name that DVC gives it: the path, with _ for / and dots."""
    found = re.findall(r'<div id = "([^"]+)">.*?var spec = (\{.*?\});\n', page, re.DOTALL)
    return {name: json.loads(spec) for name, spec in found}


def shows(spec: dict[str, Any], *channels: str) -> set[tuple[str, ...]]:
    """The distinct values that the channels (color, x, facet, ...) show together, as tuples.

    A value outside a scale's own domain is not drawn, so it is left out; a missing column is an error.
    """
    rows = spec["data"]["values"]
    calculated = {each["as"] for each in spec.get("transform", [])}
    assert fields(spec) <= calculated | rows[0].keys()
    chosen = [next(each for each in _named(spec, channel) if "field" in each) for channel in channels]
    shown = {tuple(row[each["field"]] for each in chosen) for row in rows}
    domains = [each.get("scale", {}).get("domain") for each in chosen]
    return {
        values
        for values in shown
        if all(domain is None or value in domain for value, domain in zip(values, domains, strict=True))
    }


def fields(spec: dict[str, Any]) -> set[str]:
    """The columns that a specification uses anywhere."""
    return set(_named(spec, "field"))


def _named(part: Any, name: str) -> Iterator[Any]:
    """Every value with this key, at any depth, except in the table itself."""
    if isinstance(part, dict):
        for key, value in part.items():
            if key == name:
                yield value
            if key != "data":
                yield from _named(value, name)
    elif isinstance(part, list):
        for each in part:
            yield from _named(each, name)
