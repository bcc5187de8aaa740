"""The one idea of a source: it fetches pictures in their official layout and says what is on each."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from stages.params import Section


@dataclass(frozen=True)
class Picture:
    """One labelled picture of a data set, as its source lists it.

    ``split`` is the source's own: "train" (what may be learned from, validation included), "test", or None
    where the source leaves that to us. ``species`` is "cat", "dog", or None.
    """

    image_id: str
    path: str  # relative to the raw folder, with forward slashes
    label: str
    species: str | None
    split: str | None


class Source(ABC):
    """A kind of data set. To add one: a file with a subclass, and its name in sources/registry.py."""

    Settings: ClassVar[type[Section]]  # its entry in params.yaml, under datasets.<name>
    label_name: ClassVar[str] = "class"  # what a label is called in tables: "breed"
    drawn: ClassVar[bool] = False  # drawn pictures, not photographs: said wherever results are shown

    @staticmethod
    @abstractmethod
    def fetch(settings: Any, raw: Path, downloads: Path) -> list[dict[str, Any]]:
        """Make the folder ``raw`` hold the pictures and labels in the source's official layout.

        ``downloads`` is where archives lie while they come in; a cut-off download goes on from there.
        Returns what the pictures came from, for the report: ``[{"name", "url", "md5", "bytes"}, ...]``.
        """

    @staticmethod
    @abstractmethod
    def pictures(raw: Path) -> Iterator[Picture]:
        """Every labelled picture, in a fixed order; UserError where labels and pictures disagree."""
