"""Pages as single HTML files that open offline, from Jinja templates.

Labels, ids and file names come from other people's archives: the templates escape all of them, and a page's
own policy lets no browser fetch or run anything but what is the page's.
"""

import base64
import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

REPORT = Path(__file__).parent


def render_page(folder: Path, filters: Mapping[str, Callable[..., Any]], **values: Any) -> str:
    """``folder``/page.html.j2 as HTML, with the report's script and style, and the folder's own, if any."""
    script, style = (
        "".join(
            each.read_text("utf-8") for each in dict.fromkeys((REPORT / name, folder / name)) if each.exists()
        )
        for name in ("page.js", "page.css")
    )
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= filters
    return environment.get_template("page.html.j2").render(
        script=Markup(script),  # noqa: S704 (the project's own files)
        script_checksum=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii"),
        style=Markup(style),  # noqa: S704 (the project's own files)
        **values,
    )
