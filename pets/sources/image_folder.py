"""Any folder of pictures: a folder of each class, read where it lies, or an archive of such a folder.

See `pets.sources.folders.layout` for what is a class, and when the folder has a split of its own.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import model_validator

from pets.core.errors import UserError
from pets.core.files import checksum, read_json, write_json
from pets.core.params import Section
from pets.sources import Picture, folders
from pets.sources.archives import Archive, fetch_archive, unpack

LABEL_NAME = "class"
SYNTHETIC = False
FROM_IMAGENET = False
ELSEWHERE = "folder.json"  # in the raw folder: which folder is read instead, and what of it is left out


class Settings(Section):
    """An entry under ``datasets`` in params.yaml: a ``path`` or an ``archive``."""

    source: Literal["image-folder"]
    path: Path | None = None  # a folder, absolute, from ~, or relative to the project's root
    archive: Archive | None = None
    without: tuple[str, ...] = ()  # names of folders and files to leave out, wherever they are

    @model_validator(mode="after")
    def _one(self) -> "Settings":
        if (self.path is None) == (self.archive is None):
            raise ValueError("give either a path, of a folder, or an archive with url and md5")
        return self


def fetch(settings: Settings, raw: Path, archives: Path) -> list[dict[str, Any]]:
    """Note where the folder is, or unpack the archive into ``raw``; print what was found. See `Source.fetch`.

    UserError where there is no such folder, or it doesn't hold at least two classes.
    """
    described = []
    if settings.archive:
        file = fetch_archive(settings.archive, archives)
        unpack(file, raw / "pictures")
        described = [settings.archive.described("pictures", file)]
    where = absolute(settings.path) if settings.path else None
    write_json(raw / ELSEWHERE, {"folder": str(where) if where else None, "without": list(settings.without)})
    _print(where or raw / "pictures", settings.without)
    return described


def absolute(path: Path) -> Path:
    """The folder at a path as params.yaml gives it; UserError where it isn't one."""
    folder = path.expanduser().absolute()
    if folder.is_file():
        raise UserError(
            f"{folder} is a file, not a folder; of an archive give, in place of path, archive: "
            f"{{url: {path}, md5: {checksum(folder, 'md5')}}}."
        )
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}; correct the path of the data set.")
    return folder


def pictures(raw: Path) -> Iterator[Picture]:
    """Every file below the classes; those of a folder have absolute paths. See `Source.pictures`."""
    noted = read_json(raw / ELSEWHERE)
    found = folders.layout(Path(noted["folder"] or raw / "pictures"), noted["without"])
    prefix = found.root if noted["folder"] else found.root.relative_to(raw)
    return folders.pictures(found.root, f"{prefix.as_posix()}/", found.splits, noted["without"])


def _print(top: Path, without: Collection[str]) -> None:
    """What the folder was taken for, and what may be a mistake in it."""
    found = folders.layout(top, without)
    names = found.classes if len(found.classes) <= 6 else [*found.classes[:5], "..."]
    split = ", ".join(f"{name}/" for name in found.splits)
    print(
        f"{found.root}: {len(found.classes)} classes ({', '.join(names)}), "
        f"{f'with its own split, {split}' if split else 'without a split of its own'}"
    )
    labels = {each.label for each in folders.pictures(found.root, "", found.splits, without)}
    for name in [name for name in found.classes if name not in labels]:
        print(f"  {name} is empty, so it is no class here")
    by_case = defaultdict(list)
    for name in found.classes:
        by_case[name.casefold()].append(name)
    for alike in [alike for alike in by_case.values() if len(alike) > 1]:
        print(f"  {' and '.join(alike)} differ in upper and lower case only, and are different classes")
