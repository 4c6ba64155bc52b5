"""Pictures to classify, wherever they are: a dataset, a folder, a zip that is not trusted, a glob pattern, one file."""

import glob
import os
import re
import zipfile
import zlib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import datasets
from datasets.exceptions import DatasetsError
from huggingface_hub.errors import HfHubHTTPError, HFValidationError

from space.errors import ChestXrayError, UsageError, XrayError, check_local, first_line
from space.xray import Limits
from train.data import content_digest
from train.folders import cache_folder

SUFFIXES = (".png", ".jpg", ".jpeg", ".dcm")
MAGIC = re.compile(r"[*?\[]")
KINDS = (
    "a dataset folder made by `python -m hub.convert`, a folder of pictures, a .zip, a picture, a glob pattern in "
    "quotes, or a dataset repository OWNER/NAME on the Hub"
)
# What the zip reader raises on damaged files and members.
DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError, ValueError)
# Kaggle's zips have no other compression, and Python's readers of the others do not bound what they unpack at a time.
COMPRESSIONS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}


@dataclass(frozen=True)
class Picture:
    """A picture that was found, but not read.

    Attributes:
        source: Its path inside what the user named; in a dataset, the column of that name.
        stored: Its file, its bytes, or its place in a zip.
        split, patient, label: As a dataset states them, "" where unknown. Outside datasets `label` is the name of the
            picture's folder, if the model has a class of that name.
    """

    source: str
    stored: "Path | bytes | _Member"
    split: str = ""
    patient: str = ""
    label: str = ""

    def read(self) -> bytes | Path:
        """What `space.xray.read_xray` takes.

        Raises:
            XrayError: The picture is a damaged or too large member of a zip.
        """
        return self.stored.read() if isinstance(self.stored, _Member) else self.stored


def find_pictures(source: str, labels: Collection[str]) -> tuple[int, Iterable[Picture]]:
    """Find pictures.

    Args:
        source: A dataset folder or repository, a folder of pictures, a zip, a picture, or a glob pattern.
        labels: Classes of the model; a folder that is named like one states the label of its pictures.

    Returns:
        How many there are, and the pictures: those of a dataset in its order, others sorted by path.

    Raises:
        UsageError: There is no such source, or no picture in it.
        ChestXrayError: The zip is damaged.
    """
    path = Path(source)
    if path.is_dir() and not _is_dataset(path):
        found = _files(path, _below(path), labels)
    elif path.is_file():
        is_zip = path.suffix.lower() == ".zip" or zipfile.is_zipfile(path)
        found = _members(path, labels) if is_zip else _files(path.parent, [path.name], labels)
    elif MAGIC.search(source) and not path.exists():
        found = _matches(path, labels)
    else:
        return _rows(source)
    if not found:
        raise UsageError(
            f"{source} holds no pictures: no file ends in {', '.join(SUFFIXES)}. Files of other names are taken by a "
            "glob pattern in quotes, for instance 'FOLDER/*'."
        )
    return len(found), found


def _is_dataset(folder: Path) -> bool:
    return any(True for pattern in ("*.parquet", "data/*.parquet") for _ in folder.glob(pattern))


def _below(root: Path) -> Iterator[str]:
    """Paths of the pictures below a folder; those of hidden and junk folders are left out."""
    seen = set()
    # Links to folders are followed, since large data often stand behind one, but no folder is entered twice.
    for folder, names, files in os.walk(root, followlinks=True):
        if (real := os.path.realpath(folder)) in seen:
            names.clear()
            continue
        seen.add(real)
        names[:] = [name for name in names if not _is_junk(name)]
        for name in files:
            if name.lower().endswith(SUFFIXES) and not _is_junk(name):
                yield Path(folder, name).relative_to(root).as_posix()


def _is_junk(name: str) -> bool:
    return (name.startswith(".") and name != "..") or name == "__MACOSX"


def _files(root: Path, names: Iterable[str], labels: Collection[str]) -> list[Picture]:
    """The files among some paths below a folder; a pipe would make its reader wait forever."""
    root = root.absolute()
    paths = {name: root / name for name in names}
    return [
        Picture(name, path, label=path.parent.name if path.parent.name in labels else "")
        for name, path in sorted(paths.items())
        if path.is_file() or not path.exists()  # a link that leads nowhere: reading it will say so
    ]


def _matches(pattern: Path, labels: Collection[str]) -> list[Picture]:
    """The files that a pattern matches, named from the last folder before its first wildcard."""
    fixed = next(i for i, part in enumerate(pattern.parts) if MAGIC.search(part))
    root = Path(*pattern.parts[:fixed])
    return _files(root, glob.glob(str(Path(*pattern.parts[fixed:])), root_dir=root, recursive=True), labels)


@dataclass(frozen=True)
class _Member:
    """A file inside a zip."""

    archive: zipfile.ZipFile
    info: zipfile.ZipInfo

    def read(self, limit: int = Limits.max_bytes) -> bytes:
        """Its bytes: never more than `limit` are unpacked, whatever its header states.

        Raises:
            XrayError: It is damaged, encrypted, too large, or compressed in an unusual way.
        """
        if self.info.compress_type not in COMPRESSIONS:
            raise XrayError("unsupported", "The zip's member is compressed in an unusual way; only deflate is read.")
        try:
            with self.archive.open(self.info) as member:
                data = member.read(limit + 1)
        except DAMAGE as error:
            raise XrayError("damaged", f"The zip's member cannot be read: {first_line(error)}") from None
        if len(data) > limit:
            raise XrayError("too_many_bytes", f"The file has more than {limit / 2**20:.0f} MiB.")
        return data


def _members(path: Path, labels: Collection[str]) -> list[Picture]:
    """The pictures inside a zip, which stays packed: nothing is written to disk."""
    try:
        # With a file that is given to it open, ZipFile needs no counting of its readers, which threads would disturb.
        archive = zipfile.ZipFile(path.open("rb"))
    except DAMAGE as error:
        raise ChestXrayError(f"{path} cannot be read as a zip: {first_line(error)} Download it again.") from None
    found = []
    for info in sorted(archive.infolist(), key=lambda info: info.filename):
        *folders, name = PurePosixPath(info.filename).parts or [""]
        if name.lower().endswith(SUFFIXES) and not info.is_dir() and not any(map(_is_junk, [*folders, name])):
            label = folders[-1] if folders and folders[-1] in labels else ""
            found.append(Picture(info.filename, _Member(archive, info), label=label))
    return found


def _rows(source: str) -> tuple[int, Iterator[Picture]]:
    """The pictures of all splits of a dataset, in its order."""
    check_local(source, "SOURCE")
    folder = Path(source)
    if not folder.is_dir() and not re.fullmatch(r"[\w.-]+/[\w.-]+", source):
        raise UsageError(f"{source} does not exist. Give {KINDS}.")
    digest = content_digest(folder)
    try:
        # As in training, `datasets` must not answer a folder that was converted anew from its memory of the old one.
        cache = str(cache_folder() / "datasets" / digest[:16]) if digest else None
        splits = datasets.load_dataset(source, cache_dir=cache)
    except (DatasetsError, OSError, ValueError, HFValidationError, HfHubHTTPError) as error:
        raise UsageError(f"{source} cannot be opened as a dataset: {first_line(error)} Give {KINDS}.") from None
    features = next(iter(splits.values())).features
    if not isinstance(features.get("image"), datasets.Image):
        raise UsageError(f"{source} has no column image that holds pictures (it has: {', '.join(features)}).")
    total = sum(len(split) for split in splits.values())
    if not total:
        raise UsageError(f"{source} holds no pictures: its splits are empty.")
    return total, (picture for name, split in splits.items() for picture in _rows_of_split(name, split))


def _rows_of_split(name: str, split: datasets.Dataset) -> Iterator[Picture]:
    columns = [column for column in ("image", "source", "patient", "label") if column in split.features]
    encoded = split.select_columns(columns).cast_column("image", datasets.Image(decode=False))
    names = getattr(split.features.get("label"), "names", None)
    for index, row in enumerate(encoded):
        image, label = row["image"], row.get("label")
        if names:  # the Hub writes -1 for "unlabelled"
            label = names[label] if label is not None and label >= 0 else ""
        stored = image["bytes"] or Path(image["path"])
        where = row.get("source") or f"{name}/{index}"
        yield Picture(where, stored, name, str(row.get("patient") or ""), str(label or ""))
