"""A folder of pictures as somebody left it: its files, its classes, and its own split where it has one."""

import os
import stat
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pets.core.errors import UserError
from pets.sources import Picture, readable

SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
PICTURES = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".heic", ".avif")
NO_SPLITS: Mapping[str, str] = {}


@dataclass(frozen=True)
class Layout:
    """``root`` holds the ``classes``, or one folder for each part in ``splits``, and these hold the classes.

    ``splits``: the official split by the folder's name; empty where the folder has none of its own.
    ``classes`` are names of folders, sorted, pictures in them or not.
    """

    root: Path
    splits: dict[str, str]
    classes: list[str]


def layout(top: Path, without: Collection[str] = ()) -> Layout:
    """Where the classes of the folder ``top`` are; folders called as in ``without`` are left out.

    Folders around the classes are passed through: while a folder holds one other folder and no picture, and
    that one holds folders and no picture either, the latter is the root.

    The root's folders are a split, and not classes, if all of them are called train, val (or valid) and test,
    train is among them with at least one other, and each holds folders but no picture of its own. So a class
    that happens to be called train, among other classes or with its pictures directly inside, is a class.

    Raises UserError where there are fewer than two classes.
    """
    root = top
    folders, has_pictures = _inside(root, without)
    while len(folders) == 1 and not has_pictures and _holds_only_folders(root / folders[0], without):
        root /= folders[0]
        folders, has_pictures = _inside(root, without)
    splits = {name: SPLITS[name.lower()] for name in folders if name.lower() in SPLITS}
    parts = sorted(splits.values())
    is_split = (
        len(splits) == len(folders) == len(set(parts)) > 1
        and "train" in parts
        and all(_holds_only_folders(root / name, without) for name in folders)
    )
    if is_split:
        names = {each for name in splits for each in _inside(root / name, without)[0]}
    else:
        splits, names = {}, set(folders)
    classes = sorted(map(readable, names))
    if len(classes) < 2:
        found = f"only the class '{classes[0]}'" if classes else "no folder of a class"
        raise UserError(
            f"{root} holds {found}; put the pictures of each class into a folder of its own, two classes at "
            "least, such as cat/1.jpg and dog/1.jpg."
        )
    return Layout(root, splits, classes)


def pictures(
    root: Path, prefix: str, splits: Mapping[str, str] = NO_SPLITS, without: Collection[str] = ()
) -> Iterator[Picture]:
    """Every file below a layout's ``root``, in the order of its path, which is its image_id.

    The label is the folder of the class, however deep the file lies in it; files that lie in none have no
    label. What is no picture is listed, too: the catalog says so. ``prefix`` goes before each path.
    """
    for path, _ in files(root, without):
        *parents, _ = path.split("/")
        split = splits[parents.pop(0)] if splits and parents else None
        yield Picture(path, f"{prefix}{path}", parents[0] if parents else "", None, split)


def files(root: Path, without: Collection[str] = ()) -> Iterator[tuple[str, os.stat_result | None]]:
    """The path relative to ``root``, with forward slashes, and the stat of each file, in a fixed order.

    Hidden files and folders, whose names begin with a dot, and those in ``without`` are left out, and so is
    what is neither a file nor a folder. Links are followed, but none into a folder that the path is already
    in. The stat of a broken link is None. Bytes of a name that are not UTF-8 are escaped: the path can't be
    opened then, and the catalog has a row that says so. UserError where a folder can't be read.
    """
    yield from _files(root, "", without, ())


def _files(
    folder: Path, prefix: str, without: Collection[str], around: tuple[tuple[int, int], ...]
) -> Iterator[tuple[str, os.stat_result | None]]:
    here = _stat(folder)
    if here is None or (here.st_dev, here.st_ino) in around:
        return
    around = (*around, (here.st_dev, here.st_ino))
    for name in _names(folder, without):
        path, found = prefix + readable(name), _stat(folder / name)
        if found is not None and stat.S_ISDIR(found.st_mode):
            yield from _files(folder / name, f"{path}/", without, around)
        elif found is None or stat.S_ISREG(found.st_mode):
            yield path, found


def _inside(folder: Path, without: Collection[str] = ()) -> tuple[list[str], bool]:
    """The names of the folders directly inside, sorted, and whether pictures are, too."""
    folders, has_pictures = [], False
    for name in _names(folder, without):
        if (folder / name).is_dir():
            folders.append(name)
        else:
            has_pictures |= name.lower().endswith(PICTURES)
    return folders, has_pictures


def _holds_only_folders(folder: Path, without: Collection[str]) -> bool:
    folders, has_pictures = _inside(folder, without)
    return bool(folders) and not has_pictures


def _names(folder: Path, without: Collection[str]) -> list[str]:
    try:
        names = [each.name for each in folder.iterdir()]
    except OSError as error:
        raise UserError(f"{folder} can't be read: {error.strerror}; change that, or leave it out.") from None
    return sorted(name for name in names if not name.startswith(".") and name not in without)


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:  # a broken link, a loop of links, no permission
        return None
