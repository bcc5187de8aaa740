"""The catalog of a data set: a row per picture, with the reason where it can't be used.

It is a Parquet file. What decoding found of a picture is taken from the earlier catalog where that has the
same bytes, by their sha256; a file's row depends on its bytes and its label alone, so the result is the same
to the byte. The Parquet metadata says which code decoded, ``decoder``: another decodes every picture again;
and what is to be reused, ``checksum``: a flipped bit would be copied from catalog to catalog.
"""

import hashlib
import inspect
import os
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import PIL
import pyarrow as pa
from pyarrow import compute
from pyarrow import parquet as pq

from pets.core.errors import UserError
from pets.core.files import atomic, checksum
from pets.core.imports import ROOT, files_of
from pets.dataset import OK
from pets.images import decoding
from pets.sources import Picture, readable

SUFFIXES = {".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp"}
UNLABELLED = "it has no label"  # the status of a picture that no list names, decodable or not
THREADS = 8  # that decode; reading and hashing small files takes three times as long in threads as in one
LARGEST = 1 << 30  # bytes: nine files are in memory at a time
ROWS = 2048  # of a row group: at most so many pictures are in flight, or rows in memory

DECODED = ["width", "height", "format", "mode", "status"]  # what the bytes alone determine
REUSED = ["sha256", *DECODED]
UNDECODED: dict[str, Any] = {"width": 0, "height": 0, "format": None, "mode": None}
INTEGERS = ["bytes", "width", "height"]
COLUMNS = ["image_id", "path", "label", "species", "official_split", "bytes", "sha256", *DECODED]
SCHEMA = pa.schema([(name, pa.int64() if name in INTEGERS else pa.large_string()) for name in COLUMNS])
# Of these texts there are few different ones.
KNOWN = pa.schema(
    [(name, pa.int64() if name in INTEGERS else pa.dictionary(pa.int32(), pa.string())) for name in DECODED]
)
PICTURE = pa.schema([(field, pa.string()) for field in ("image_id", "path", "label", "species", "split")])


class UnreadableError(Exception):
    """This file can't be read; the message says why."""


@dataclass(frozen=True)
class Listed:
    """Pictures as Arrow columns, which take a fifth of the memory of as many objects."""

    columns: pa.Table  # by the schema ``PICTURE``

    @classmethod
    def of(cls, pictures: Iterable[Picture]) -> "Listed":
        """These pictures, in this order."""
        batches = (
            pa.RecordBatch.from_pydict(
                {name: [getattr(each, name) for each in some] for name in PICTURE.names}, PICTURE
            )
            for some in _some(pictures)
        )
        return cls(pa.Table.from_batches(batches, PICTURE))

    def __len__(self) -> int:
        return len(self.columns)

    def __iter__(self) -> Iterator[Picture]:
        for batch in self.columns.to_batches(ROWS):
            yield from (Picture(**row) for row in batch.to_pylist())


class Known:
    """What an earlier catalog says of pictures' bytes, at about 70 bytes a picture."""

    def __init__(self, batches: Iterable[pa.RecordBatch] = ()) -> None:
        """``batches`` have the columns ``REUSED``."""
        content = hashlib.sha256()
        parts, rows = [_keys([])], [KNOWN.empty_table()]
        for batch in batches:
            _add(content, batch.to_pylist())
            parts.append(_keys(batch["sha256"].to_pylist()))
            rows.append(pa.Table.from_batches([batch.select(DECODED)]).cast(KNOWN))
        self.checksum = content.hexdigest()
        keys = np.concatenate(parts)
        order = np.argsort(keys)
        self._keys = keys[order]
        self._rows = pa.concat_tables(rows).unify_dictionaries().combine_chunks().take(order)

    def find(self, sha256: str, labelled: bool) -> dict[str, Any] | None:
        """The columns ``DECODED`` for these bytes; None where they have to be decoded.

        A row without a label does not say why its picture couldn't be decoded.
        """
        key = _keys([sha256])[0]
        first, end = (np.searchsorted(self._keys, key, side) for side in ("left", "right"))
        for found in self._rows.slice(first, end - first).to_pylist():
            if "memory" in found["status"].lower():
                continue  # "MemoryError" or "out of memory error when ...": it may succeed now
            if found["status"] != UNLABELLED:
                return found
            if found["format"] is not None or not labelled:
                return found | {"status": OK}
        return None


def _keys(checksums: list[str | None]) -> np.ndarray:
    """The bytes [n] of checksums in hexadecimal, of zeros where there is none."""
    return np.frombuffer(b"".join(bytes.fromhex(each or "0" * 64) for each in checksums), "S32")


def _some(pictures: Iterable[Picture]) -> Iterator[list[Picture]]:
    """At most ``ROWS`` at a time."""
    left = iter(pictures)
    while some := list(islice(left, ROWS)):
        yield some


def decoder() -> str:
    """A checksum of the code that decodes, and Pillow's version: equal ones find the same of equal bytes."""
    files = [checksum(ROOT / file) for file in files_of(decoding.__name__)]
    parts = [*files, inspect.getsource(decoded), PIL.__version__]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def read_known(file: Path) -> Known:
    """What the catalog ``file`` knows, if any; where it can't be used, a printed line says why."""
    if not file.exists():
        return Known()
    try:
        with pq.ParquetFile(file) as earlier:
            metadata = earlier.metadata.metadata or {}
            if not earlier.schema_arrow.equals(SCHEMA) or not metadata.keys() >= {b"decoder", b"checksum"}:
                reason = f"{file} is not a catalog as this version writes it"
            elif metadata[b"decoder"] != decoder().encode():
                reason = "the code that decodes has changed, or Pillow's version"
            else:
                known = Known(earlier.iter_batches(ROWS, columns=REUSED))
                if metadata[b"checksum"] == known.checksum.encode():
                    return known
                reason = f"{file} is damaged (its rows do not match their checksum)"
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = f"{file} is damaged ({str(error).partition(chr(10))[0]})"
    print(f"every picture is decoded again: {reason}")
    return Known()


def _add(content: "hashlib._Hash", rows: list[dict[str, Any]]) -> None:
    """Add what is reused of these rows to a checksum."""
    for row in rows:
        content.update(repr([row[name] for name in REUSED]).encode())


def update(
    file: Path, raw: Path, pictures: Iterable[Picture], progress: Callable[[], object] = lambda: None
) -> int:
    """Make ``file`` the catalog of ``pictures``, in their order; returns how many had to be decoded.

    Every file is read and hashed. ``progress`` is called after each. UserError where none can be used.
    """
    known = read_known(file)
    made_by, content = decoder(), hashlib.sha256()
    listed = usable = computed = 0
    with (
        atomic(file) as temporary,
        pq.ParquetWriter(temporary, SCHEMA) as writer,
        ThreadPoolExecutor(THREADS) as pool,
    ):
        for some in _some(pictures):
            rows = []
            for row, new in described(raw, known, some, pool):
                rows.append(row)
                usable += row["status"] == OK
                computed += new
                progress()
            listed += len(rows)
            _add(content, rows)
            writer.write_table(pa.Table.from_pylist(rows, SCHEMA))
        writer.add_key_value_metadata({"decoder": made_by, "checksum": content.hexdigest()})
        if not usable:
            raise UserError(f"{raw} holds no picture that can be used ({listed} listed).")
    return computed


def described(
    raw: Path, known: Known, pictures: Iterable[Picture], pool: ThreadPoolExecutor
) -> Iterator[tuple[dict[str, Any], bool]]:
    """Each picture's row of the catalog, and whether it had to be decoded, by a thread of ``pool``."""
    begun: deque[tuple[dict[str, Any], Future[dict[str, Any]] | None]] = deque()

    def end() -> tuple[dict[str, Any], bool]:
        row, decoding = begun.popleft()
        row |= decoding.result() if decoding else {}
        return row if row["label"] else row | {"status": UNLABELLED}, decoding is not None

    for picture in pictures:
        row, data = _identified(raw, known, picture)
        begun.append((row, None if data is None else pool.submit(decoded, data)))
        while begun and (begun[0][1] is None or len(begun) > THREADS):
            yield end()
    while begun:
        yield end()


def _identified(raw: Path, known: Known, picture: Picture) -> tuple[dict[str, Any], bytes | None]:
    """What a picture's row says without its being decoded, and its bytes if they have to be."""
    row: dict[str, Any] = {
        "image_id": picture.image_id,
        "path": picture.path,
        "label": picture.label or None,
        "species": picture.species,
        "official_split": picture.split,
    }
    try:
        data = read(raw / picture.path)
    except UnreadableError as error:
        return row | {"bytes": 0, "sha256": None, **UNDECODED, "status": str(error)}, None
    sha256 = hashlib.sha256(data).hexdigest()
    found = known.find(sha256, bool(picture.label))
    return row | {"bytes": len(data), "sha256": sha256, **(found or {})}, None if found else data


def read(file: Path) -> bytes:
    """The bytes of a file; UnreadableError where it can't be read, or is too large for a picture."""
    try:
        if (size := file.stat().st_size) > LARGEST:
            raise UnreadableError(f"{size / 2**30:.1f} GiB: too large for a picture")
        return file.read_bytes()
    except OSError as error:
        raise UnreadableError(f"it can't be read: {error.strerror}") from None


def decoded(data: bytes) -> dict[str, Any]:
    """The columns ``DECODED``; of a picture that can't be decoded, the reason as its status."""
    try:
        picture = decoding.decode(data)
    except decoding.UndecodableError as error:
        return UNDECODED | {"status": str(error)}
    width, height = picture.size
    return {"width": width, "height": height, "format": picture.format, "mode": picture.mode, "status": OK}


def with_unlabelled(raw: Path, pictures: Iterable[Picture]) -> Listed:
    """The pictures, and those beside them that are not listed, such as about forty of the official Pets.

    They are sorted by image_id. The label of one that is not listed is empty.
    """
    labelled = Listed.of(pictures).columns
    paths = (path for some in labelled["path"].chunks for path in some.to_pylist())
    beside = Listed.of(_beside(raw, {PurePosixPath(path).parent for path in paths})).columns
    unlabelled = beside.filter(compute.invert(compute.is_in(beside["path"], value_set=labelled["path"])))
    order = [("image_id", "ascending"), ("path", "ascending")]
    return Listed(pa.concat_tables([labelled, unlabelled]).sort_by(order))


def _beside(raw: Path, folders: Iterable[PurePosixPath]) -> Iterator[Picture]:
    """Every picture file in these folders of ``raw``, as one without a label."""
    for folder in folders:
        with os.scandir(raw / folder) as files:
            for file in files:
                path = folder / readable(file.name)
                if path.suffix.lower() in SUFFIXES and not file.name.startswith(".") and file.is_file():
                    yield Picture(path.stem, str(path), "", None, None)


def summarize(file: Path) -> dict[str, Any]:
    """Counts, the images that can't be used, and those whose bytes occur more than once.

    ``content`` is a sha256 of every row's image_id and sha256: the checksum of these pictures. It reads the
    file twice, a few rows at a time, and holds 32 bytes a picture.
    """
    content = hashlib.sha256()
    formats: Counter[str] = Counter()
    unreadable, checksums = [], [_keys([])]
    for rows in _batches(file, ["image_id", "format", "status", "sha256"]):
        content.update("".join(f"{row['sha256']} {row['image_id']}\n" for row in rows).encode())
        usable = [row for row in rows if row["status"] == OK]
        unreadable += [
            {"image_id": row["image_id"], "reason": row["status"]} for row in rows if row["status"] != OK
        ]
        formats.update(row["format"] for row in usable)
        checksums.append(_keys([row["sha256"] for row in usable]))
    each, counts = np.unique(np.concatenate(checksums), return_counts=True)
    groups: dict[str, list[dict[str, Any]]] = {found.ljust(32, b"\0").hex(): [] for found in each[counts > 1]}
    for rows in _batches(file, ["image_id", "label", "official_split", "status", "sha256"]) if groups else ():
        for row in rows:
            if row["status"] == OK and row["sha256"] in groups:
                groups[row["sha256"]].append(row)
    across, two_labels = (
        [group for group in groups.values() if len({key(row) for row in group}) > 1]
        for key in (lambda row: row["official_split"] == "test", lambda row: row["label"])
    )
    return {
        "listed": formats.total() + len(unreadable),
        "usable": formats.total(),
        "unreadable": unreadable,
        "formats": dict(formats.most_common()),
        "duplicates": _names(groups.values()),
        "duplicates_across_splits": _names(across),
        "duplicates_across_labels": _names(two_labels),
        "content": content.hexdigest(),
    }


def _names(groups: Iterable[list[dict[str, Any]]]) -> list[list[str]]:
    return sorted(sorted(row["image_id"] for row in group) for group in groups)


def _batches(file: Path, columns: list[str]) -> Iterator[list[dict[str, Any]]]:
    with pq.ParquetFile(file) as catalog:
        for batch in catalog.iter_batches(ROWS, columns=columns):
            yield batch.to_pylist()
