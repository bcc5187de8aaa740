"""Where pictures come from: one module a source, named as params.yaml names it (with dashes for underscores).

To add a source, add a module here that has what `Source` lists; nothing else needs to know of it. What
sources use is in packages, such as `archives`, so that every module here is a source.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast

from pets.core.params import Section


@dataclass(frozen=True, slots=True)
class Picture:
    """One labelled picture of a data set, as its source lists it.

    ``split`` is the source's own: "train", "val", "test", or None where the source has none. Of these three,
    those that a data set lacks are drawn from "train". ``species`` is "cat", "dog", or None.
    """

    image_id: str
    path: str  # with forward slashes; relative to the raw folder, or absolute
    label: str  # "" where it has none: the catalog has a row for it, and no stage uses it
    species: str | None
    split: str | None


class Source(Protocol):
    """What a source's module has."""

    Settings: type[Section]  # its entry in params.yaml, under datasets.<name>
    LABEL_NAME: str  # what a label is called in tables: "breed"
    SYNTHETIC: bool  # drawn by a program, not photographs; stated wherever results are shown
    FROM_IMAGENET: bool  # its pictures are ImageNet's, which backbones were trained on; the report says so

    def fetch(self, settings: Any, raw: Path, archives: Path) -> list[dict[str, Any]]:
        """Fill the folder ``raw`` with the pictures and labels in the source's official layout.

        ``archives`` is the folder where downloads are kept. Returns the archives that the pictures came from,
        for the report, if any: ``[{"name", "url", "md5", "bytes"}, ...]``.
        """

    def pictures(self, raw: Path) -> Iterator[Picture]:
        """Every labelled picture, in a fixed order; UserError where labels and pictures disagree."""


def readable(name: str) -> str:
    """A file's name with its bytes that are not UTF-8 escaped: text that any file and screen can hold."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def load(name: str) -> Source:
    """The module of that source; its name is checked before (see `pets.core.names.sources`)."""
    return cast(Source, import_module(f"pets.sources.{name.replace('-', '_')}"))
