"""Files in a folder, or in a zip that is not trusted, listed and read alike."""

import lzma
import os
import posixpath
import stat
import threading
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from space.errors import ErrorCode, UsageError, XrayError, first_line, too_large, unreadable
from space.imaging.xray import Limits

# A file, its bytes, or what reads its bytes when they are wanted (a member of a zip).
ImageFile = Path | bytes | Callable[[], bytes]
JUNK = {"__macosx", "thumbs.db", "desktop.ini"}
# What other archives begin with (tar: what is before byte 262), and how to unpack them.
OTHER_ARCHIVES = {
    b"7z\xbc\xaf\x27\x1c": ("7z", "7z x"), b"Rar!\x1a\x07": ("RAR", "unrar x"), b"ustar": ("tar", "tar xf"),
    b"\x1f\x8b\x08": ("compressed tar", "tar xf"), b"BZh": ("compressed tar", "tar xf"),
    b"\xfd7zXZ\x00": ("compressed tar", "tar xf"),
}  # fmt: skip
# What zipfile raises on damaged archives and members.
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


@dataclass(frozen=True)
class ZipLimits:
    """What a zip may hold; checked on its list of entries, before anything is unpacked.

    The defaults lie far above any chest X-ray set (COVID-QU-Ex has about 110,000 entries), and far below a bomb.

    Attributes:
        max_entries: Most entries, folders and junk files included.
        max_bytes: Most bytes of all entries together, unpacked.
        max_ratio: Most bytes of all entries together for each byte of the zip.
        methods: Compression methods that are read; None for all that zipfile knows.
    """

    max_entries: int = 1_000_000
    max_bytes: int = 500 * 10**9
    max_ratio: int = 100
    methods: frozenset[int] | None = None


# For files from strangers. zipfile bounds what it inflates at a time; of BZIP2 and LZMA it unpacks whatever there is.
UPLOAD_METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})


class Folder:
    """The files below a folder.

    Attributes:
        title: What to call the source in messages.
        sizes: {path inside the folder, with "/": bytes}, sorted; hidden and junk files left out.
    """

    def __init__(self, root: Path):
        self.root, self.title = root, str(root)
        sizes, visited = {}, set()
        # Links to folders are followed, since large data often stand behind one, but no folder is entered twice.
        for folder, names, files in os.walk(root, followlinks=True):
            if (real := os.path.realpath(folder)) in visited:
                names.clear()
                continue
            visited.add(real)
            names[:] = [name for name in names if not _is_junk(name)]
            prefix = Path(folder).relative_to(root).as_posix().removeprefix(".")
            for name in files:
                if not _is_junk(name) and (size := _size_of(Path(folder, name))) is not None:
                    sizes[f"{prefix}/{name}".lstrip("/")] = size
        self.sizes: dict[str, int] = dict(sorted(sizes.items()))

    def read(self, name: str, limit: int = Limits.max_bytes) -> bytes:
        """The bytes of one file.

        Raises:
            XrayError: It is gone, may not be read, or has more than `limit` bytes.
        """
        try:
            with (self.root / name).open("rb") as file:
                return _bounded(file.read(limit + 1), limit)
        except OSError as error:
            raise unreadable(error) from None

    def head(self, name: str, size: int) -> bytes:
        """The first `size` bytes of one file, or b"" where it cannot be read."""
        try:
            with (self.root / name).open("rb") as file:
                return file.read(size)
        except OSError:
            return b""


class Zip:
    """The files inside a zip, read in place by any number of threads; nothing is ever unpacked to disk.

    Args:
        path: The zip.
        title: What to call it in messages; None for its path.
        limits: What it may hold.

    Raises:
        XrayError: `bad_archive`: it is damaged, exceeds a limit, or holds what an honest zip of images never does:
            a path that leads out, a link, an encrypted entry, or two entries of one name.

    Attributes:
        title: What to call the source in messages.
        sizes: {path inside the zip: bytes}, sorted; hidden and junk files left out.
    """

    def __init__(self, path: Path, title: str | None = None, limits: ZipLimits = ZipLimits()):
        self.title, self._limits = title or str(path), limits
        try:
            self._archive = zipfile.ZipFile(path)
        except DAMAGE as error:
            raise XrayError(
                ErrorCode.BAD_ARCHIVE,
                f"{self.title} cannot be read as a zip: {first_line(error)} It is damaged, incomplete or not a zip; "
                "download it again.",
            ) from None
        self._lock = threading.Lock()
        try:
            self._entries = self._trusted(path.stat().st_size)
        except XrayError:
            self.close()
            raise
        self.sizes: dict[str, int] = {name: info.file_size for name, info in sorted(self._entries.items())}

    def _trusted(self, zip_bytes: int) -> dict[str, zipfile.ZipInfo]:
        """{normal path: entry}, once the zip has passed all checks."""
        infos, limits = self._archive.infolist(), self._limits
        total = sum(info.file_size for info in infos)
        most = min(limits.max_bytes, limits.max_ratio * zip_bytes + 2**20)
        if len(infos) > limits.max_entries:
            raise self._refused(f"it has {len(infos):,} entries; at most {limits.max_entries:,} are allowed")
        if total > most:
            raise self._refused(f"it unpacks to {total:,} bytes; at most {most:,} are allowed for its size")
        files: dict[str, zipfile.ZipInfo] = {}
        for info in infos:
            path = info.filename.replace("\\", "/")  # Windows tools write backslashes
            if why := _hostile(info, path):
                raise self._refused(f"its entry {info.filename[:80]!r} {why}")
            parts = [part for part in PurePosixPath(path).parts if part != "."]
            if not parts or path.endswith("/") or any(map(_is_junk, parts)):
                continue
            name = posixpath.normpath(path)
            if name in files:
                raise self._refused(f"it holds {name[:80]!r} more than once")
            files[name] = info
        return files

    def _refused(self, why: str) -> XrayError:
        return XrayError(ErrorCode.BAD_ARCHIVE, f"{self.title} is refused: {why}.")

    def read(self, name: str, limit: int = Limits.max_bytes) -> bytes:
        """The bytes of one file, never more than `limit`, whatever its header states.

        Raises:
            XrayError: It is damaged, compressed by a method that is not allowed, or has more than `limit` bytes.
        """
        info = self._entries[name]
        if self._limits.methods is not None and info.compress_type not in self._limits.methods:
            sentence = "The file cannot be unpacked: its compression method is not supported. Use Deflate."
            raise XrayError(ErrorCode.UNSUPPORTED, sentence)
        try:
            with self._lock:  # opening moves the archive's file position
                member = self._archive.open(info)
            with member:
                return _bounded(member.read(limit + 1), limit)
        except DAMAGE as error:
            raise XrayError(ErrorCode.DAMAGED, f"The file cannot be unpacked: {first_line(error)}") from None

    def head(self, name: str, size: int) -> bytes:
        """The first `size` bytes of one file, or b"" where it cannot be read."""
        try:
            with self._lock:
                member = self._archive.open(self._entries[name])
            with member:
                return member.read(size)
        except DAMAGE:
            return b""

    def close(self) -> None:
        """Close the zip; it cannot be read any more."""
        self._archive.close()


Source = Folder | Zip


def is_zip(path: Path) -> bool:
    """Whether a file is called a zip, or begins like one; it may be damaged all the same."""
    with path.open("rb") as file:
        return path.suffix.lower() == ".zip" or file.read(4) in (b"PK\x03\x04", b"PK\x05\x06")


def refuse_other_archives(path: Path) -> None:
    """Say how to unpack an archive that is not a zip; whatever else a file is passes.

    Raises:
        UsageError: It begins like a 7z, RAR or tar archive, or like a compressed file.
    """
    with path.open("rb") as file:
        start = file.read(262)
    for signature, (kind, command) in OTHER_ARCHIVES.items():
        if start.startswith(signature) or start.endswith(signature):
            raise UsageError(
                f"{path} is a {kind} archive, and of archives only zips are read. Unpack it ({command} {path.name}) "
                "and give the folder."
            )


def _is_junk(name: str) -> bool:
    return name.startswith(".") or name.lower() in JUNK


def _size_of(path: Path) -> int | None:
    """Bytes of a file; None for anything but a file (a pipe would make its reader wait forever)."""
    try:
        status = path.stat()
    except OSError:  # a broken link: reading it will say so
        return 0
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def _bounded(data: bytes, limit: int) -> bytes:
    if len(data) > limit:
        raise too_large(limit)
    return data


def _hostile(info: zipfile.ZipInfo, path: str) -> str | None:
    """What is wrong with an entry of a zip, or None; `path` is its path with "/" between folders."""
    if path.startswith("/") or path[1:2] == ":" or ".." in path.split("/"):
        return "has a path that may lead out of the folder"
    if stat.S_ISLNK(info.external_attr >> 16):
        return "is a link"
    if info.flag_bits & 0x1:
        return "is encrypted"
    return None
