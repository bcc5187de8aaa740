"""Archives unpacked by tarfile and zipfile: plain files and folders only, and never over an existing file."""

import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath

from tqdm import tqdm

from pets.core.errors import UserError
from pets.sources.archives.downloads import disk_errors_reported

# Compression hardly shrinks photographs, and lists and trimaps some twenty times; bombs grow a thousandfold.
MAX_GROWTH = 100
ALWAYS_ALLOWED = 8 << 30  # bytes: no archive is refused as a bomb for less

MACOS_FILES = {"__MACOSX", ".DS_Store"}
DAMAGED = (
    EOFError,
    zlib.error,
    lzma.LZMAError,
    tarfile.TarError,
    zipfile.BadZipFile,
    ValueError,  # tarfile: fields that are not numbers or text
    RecursionError,  # tarfile: headers of headers of headers
    OSError,  # gzip and bz2; the disk's own are reported before
)


@dataclass(frozen=True)
class _Member:
    name: str
    size: int
    is_folder: bool
    is_plain: bool  # a file or a folder
    extract: Callable[[], object]


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a tar (plain, .gz, .bz2 or .xz) or a zip, by its content, into ``folder``, made if missing.

    Members keep their paths. Only plain files and folders with paths inside ``folder`` are accepted, and no
    existing file is overwritten, whether it is from this archive or an earlier one. Files that macOS adds
    (``._*``, ``__MACOSX``, ``.DS_Store``) are left out; files get default permissions and the present time.

    Raises UserError, naming archive and member, where the archive holds anything else, is cut off, damaged or
    a bomb, or where the disk is full. What was unpacked until then stays, so give it a folder that is deleted
    on failure, as `pets.core.files.atomic` does.
    """
    name, unpacked = "", 0
    try:
        with disk_errors_reported(folder):
            folder.mkdir(parents=True, exist_ok=True)
            limit = max(ALWAYS_ALLOWED, MAX_GROWTH * archive.stat().st_size)
            members = (_tar_members if tarfile.is_tarfile(archive) else _zip_members)(archive, folder)
            for member in tqdm(members, f"unpack {archive.name}", unit=" files", mininterval=1):
                name = member.name
                unpacked += member.size
                if reason := _reason_to_refuse(member, folder, unpacked > limit):
                    raise UserError(f"{archive}: {reason}; the archive is not used.")
                if not any(part in MACOS_FILES or part.startswith("._") for part in Path(name).parts):
                    member.extract()
    except DAMAGED as error:
        where = f"near {name!r}" if name else "at its beginning, or is neither a tar nor a zip"
        raise UserError(f"{archive} is cut off or damaged {where} ({error}); get a complete copy.") from None
    except RuntimeError:  # zipfile's
        raise UserError(
            f"{archive}: {name!r} is encrypted or compressed by an unsupported method; it is not used."
        ) from None


def _reason_to_refuse(member: _Member, folder: Path, too_large: bool) -> str | None:
    windows, name = PureWindowsPath(member.name), repr(member.name)
    if too_large:
        return f"at {name} it is unpacked to far more than archives of pictures are"
    if not member.is_plain:
        return f"{name} is neither a plain file nor a folder (a link, a device, a pipe or a sparse file)"
    if windows.anchor or ".." in windows.parts or "\\" in member.name or "\0" in member.name:
        return f"{name} is not a plain path inside a folder"  # on any system
    target = folder / member.name
    if any(each.is_file() for each in (target, *target.parents)) or (
        target.is_dir() and not member.is_folder
    ):
        return f"{name} is where another file or folder is already unpacked"
    return None


def _tar_members(archive: Path, folder: Path) -> Iterator[_Member]:
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.size < 0:  # tarfile would go back and read the same members for ever
                raise tarfile.ReadError("a negative size")
            is_plain = member.isdir() or (member.isreg() and not member.issparse())
            extract = partial(tar.extract, member, folder, filter=_data_filter)
            yield _Member(member.name, member.size, member.isdir(), is_plain, extract)
        # tarfile takes a broken header, and a file that ends early, for the end of the archive. The md5
        # guarantees that the bytes are those meant in params.yaml, so no header need be parsed here. Only
        # those may be cut off or damaged themselves, and then tarfile stopped where there is no block of
        # zeros. Reading to the very end makes gzip, bz2 and xz check their own checksums.
        assert tar.fileobj is not None
        tar.fileobj.seek(tar.offset)
        if tar.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError("no end-of-archive block")
        while tar.fileobj.read(1 << 20):
            pass


def _data_filter(member: tarfile.TarInfo, folder: str) -> tarfile.TarInfo:
    member = tarfile.data_filter(member, folder)
    plain_name = str(PurePosixPath(member.name))  # a/b for a/./b and a/b/.
    return member.replace(name=plain_name, mode=None, mtime=None, deep=False)  # type: ignore[arg-type]


def _zip_members(archive: Path, folder: Path) -> Iterator[_Member]:
    with zipfile.ZipFile(archive) as file:
        for member in file.infolist():
            # The upper half of the attributes is the Unix mode; other systems leave it empty.
            is_plain = stat.S_IFMT(member.external_attr >> 16) in (0, stat.S_IFREG, stat.S_IFDIR)
            extract = partial(file.extract, member, folder)
            yield _Member(member.filename, member.file_size, member.is_dir(), is_plain, extract)
