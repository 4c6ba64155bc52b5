"""Files that stand in a folder or in a zip that is not trusted, read alike."""

import lzma
import os
import posixpath
import stat
import threading
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from space.errors import ChestXrayError, XrayError, first_line
from space.imaging.xray import Limits

JUNK = {"__macosx", "thumbs.db", "desktop.ini"}
# Far above any chest X-ray set (COVID-QU-Ex, the largest archive here, has about 110,000 entries), far below a bomb.
MAX_ENTRIES, MAX_TOTAL_BYTES, MAX_RATIO = 1_000_000, 500 * 10**9, 100
# What the zip reader raises on damaged members.
DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,
    RuntimeError,
    OSError,
    ValueError,
)


class Folder:
    """The files below a folder.

    Attributes:
        title: What to call the source in messages.
        sizes: {path inside the folder, with "/": bytes}, sorted; hidden and junk files left out.
    """

    def __init__(self, root: Path):
        self.root, self.title = root, str(root)
        found, seen = {}, set()
        # Links to folders are followed, since large data often stand behind one, but no folder is entered twice.
        for folder, names, files in os.walk(root, followlinks=True):
            if (real := os.path.realpath(folder)) in seen:
                names.clear()
                continue
            seen.add(real)
            names[:] = [name for name in names if not _is_junk(name)]
            prefix = Path(folder).relative_to(root).as_posix().removeprefix(".")
            for name in files:
                if not _is_junk(name) and (size := _size_of(Path(folder, name))) is not None:
                    found[f"{prefix}/{name}".lstrip("/")] = size
        self.sizes: dict[str, int] = dict(sorted(found.items()))

    def read(self, name: str, limit: int = Limits.max_bytes) -> bytes:
        """The bytes of one file.

        Raises:
            XrayError: It is gone, may not be read, or has more than `limit` bytes.
        """
        path = self.root / name
        try:
            with path.open("rb") as file:
                return _bounded(file.read(limit + 1), limit)
        except OSError as error:
            raise XrayError("unreadable", f"The file cannot be read: {os.strerror(error.errno or 5)}.") from None


class Zip:
    """The files inside a zip, read in place; nothing is ever unpacked to disk.

    Attributes:
        title: What to call the source in messages.
        sizes: {path inside the zip: bytes}, sorted; hidden and junk files left out.
    """

    def __init__(self, path: Path):
        self.title = str(path)
        try:
            self._archive = zipfile.ZipFile(path)
        except DAMAGE as error:
            raise ChestXrayError(
                f"{path} cannot be read as a zip: {first_line(error)} It is damaged, cut off, or no zip; download it "
                f"again."
            ) from None
        self._lock = threading.Lock()
        self._entries = self._trusted(path.stat().st_size)
        self.sizes: dict[str, int] = {name: info.file_size for name, info in sorted(self._entries.items())}

    def _trusted(self, zip_bytes: int) -> dict[str, zipfile.ZipInfo]:
        """{normal path: entry}, after everything that an honest zip of images never has was looked for."""
        infos = self._archive.infolist()
        total = sum(info.file_size for info in infos)
        if len(infos) > MAX_ENTRIES or total > MAX_TOTAL_BYTES or total > MAX_RATIO * zip_bytes + 2**20:
            raise ChestXrayError(
                f"{self.title} is refused: it holds {len(infos):,} entries that unpack to {total:,} bytes from "
                f"{zip_bytes:,}; allowed are {MAX_ENTRIES:,} entries, {MAX_TOTAL_BYTES:,} bytes and {MAX_RATIO} times."
            )
        files: dict[str, zipfile.ZipInfo] = {}
        for info in infos:
            if why := _hostile(info):
                raise ChestXrayError(f"{self.title} is refused: its entry {info.filename[:80]!r} {why}.")
            if info.is_dir() or any(_is_junk(part) for part in PurePosixPath(info.filename).parts if part != "."):
                continue
            name = posixpath.normpath(info.filename)
            if name in files:
                raise ChestXrayError(f"{self.title} is refused: it holds {name[:80]!r} more than once.")
            files[name] = info
        return files

    def read(self, name: str, limit: int = Limits.max_bytes) -> bytes:
        """The bytes of one member, never more than `limit`, whatever its header states.

        Raises:
            XrayError: The member is damaged, or has more than `limit` bytes.
        """
        try:
            with self._lock:  # opening moves the archive's file position
                member = self._archive.open(self._entries[name])
            with member:
                return _bounded(member.read(limit + 1), limit)
        except DAMAGE as error:
            raise XrayError("damaged", f"The zip's member is damaged: {first_line(error)}") from None


Source = Folder | Zip


def _is_junk(name: str) -> bool:
    return name.startswith(".") or name.lower() in JUNK


def _size_of(path: Path) -> int | None:
    """Bytes of a file; None for what is no file (a pipe would make its reader wait forever)."""
    try:
        status = path.stat()
    except OSError:  # a link that leads nowhere: reading it will say so
        return 0
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def _bounded(data: bytes, limit: int) -> bytes:
    if len(data) > limit:
        raise XrayError("too_many_bytes", f"The file has more than {limit / 2**20:.0f} MiB.")
    return data


def _hostile(info: zipfile.ZipInfo) -> str | None:
    """What is wrong with an entry of a zip, or None."""
    name = info.filename
    if name.startswith("/") or "\\" in name or name[1:2] == ":" or ".." in name.split("/"):
        return "has a path that may lead out of the folder"
    if stat.S_ISLNK(info.external_attr >> 16):
        return "is a link"
    if info.flag_bits & 0x1:
        return "is encrypted"
    return None
