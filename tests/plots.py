"""What `dvc plots` draws, read from the Vega-Lite specifications on the page that it writes."""

import json
import re
from collections.abc import Iterator
from typing import Any


def specs(page: str) -> dict[str, dict[str, Any]]:
    """Each plot's specification, by the name that DVC gives it: the path, with _ for / and dots."""
    found = re.findall(r'<div id = "([^"]+)">.*?var spec = (\{.*?\});\n', page, re.DOTALL)
    return {name: json.loads(spec) for name, spec in found}


def shows(spec: dict[str, Any], *channels: str) -> set[tuple[str, ...]]:
    """What the channels (color, x, facet, ...) show together: one tuple for each that differs.

    A value outside of a scale's own domain is not drawn, and a column that isn't there is an error.
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
    """The columns that a specification shows anywhere."""
    return set(_named(spec, "field"))


def _named(part: Any, name: str) -> Iterator[Any]:
    """All that stands under a name, at any depth; the table itself is left out."""
    if isinstance(part, dict):
        for key, value in part.items():
            if key == name:
                yield value
            if key != "data":
                yield from _named(value, name)
    elif isinstance(part, list):
        for each in part:
            yield from _named(each, name)
