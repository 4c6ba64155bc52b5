"""Images to classify, wherever they are: a dataset, a folder, a zip that is not trusted, a glob pattern, one file."""

import glob
import re
import zipfile
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

import datasets

from space.errors import UsageError, check_local
from space.imaging.archives import Folder, Source, Zip
from train.data.dataset import content_digest, open_splits

SUFFIXES = (".png", ".jpg", ".jpeg", ".dcm")
MAGIC = re.compile(r"[*?\[]")
KINDS = (
    "a dataset folder made by `python -m hub.convert`, a folder of images, a .zip, an image, a glob pattern in "
    "quotes, or a dataset repository OWNER/NAME on the Hub"
)


@dataclass(frozen=True)
class SourceImage:
    """An image that was found, but not read.

    Attributes:
        source: Its path inside what the user named; in a dataset, the column of that name.
        stored: Its file, its bytes, or what reads them.
        split, patient, label: As a dataset states them, "" where unknown. Outside datasets `label` is the name of the
            image's folder, if the model has a class of that name.
    """

    source: str
    stored: Path | bytes | Callable[[], bytes]
    split: str = ""
    patient: str = ""
    label: str = ""

    def read(self) -> bytes | Path:
        """What `space.imaging.xray.read_xray` takes.

        Raises:
            XrayError: The image cannot be read where it stands, or is too large.
        """
        return self.stored() if callable(self.stored) else self.stored


def find_images(source: str, labels: Collection[str]) -> tuple[int, Iterable[SourceImage]]:
    """Find images.

    Args:
        source: A dataset folder or repository, a folder of images, a zip, an image, or a glob pattern.
        labels: Classes of the model; a folder that is named like one states the label of its images.

    Returns:
        How many there are, and the images: those of a dataset in its order, others sorted by path.

    Raises:
        UsageError: There is no such source, or no image in it.
        ChestXrayError: The zip is damaged or hostile.
    """
    path = Path(source)
    if path.is_dir() and not _is_dataset(path):
        found = _inside(Folder(path), labels, path.absolute().name)
    elif path.is_file() and (path.suffix.lower() == ".zip" or zipfile.is_zipfile(path)):
        found = _inside(Zip(path), labels, "")
    elif path.is_file():
        found = _files(path.parent, [path.name], labels)
    elif MAGIC.search(source) and not path.exists():
        found = _matches(path, labels)
    else:
        return _rows(source)
    if not found:
        raise UsageError(
            f"{source} holds no images: no file ends in {', '.join(SUFFIXES)}. Files of other names are taken by a "
            "glob pattern in quotes, for instance 'FOLDER/*'."
        )
    return len(found), found


def _is_dataset(folder: Path) -> bool:
    return any(True for pattern in ("*.parquet", "data/*.parquet") for _ in folder.glob(pattern))


def _inside(source: Source, labels: Collection[str], root: str) -> list[SourceImage]:
    """The images in a folder or zip, in order; `root` is the name of the folder itself."""
    found = []
    for name in source.sizes:
        if name.lower().endswith(SUFFIXES):
            parent = PurePosixPath(root, name).parent.name
            found.append(SourceImage(name, partial(source.read, name), label=parent if parent in labels else ""))
    return found


def _files(root: Path, names: Iterable[str], labels: Collection[str]) -> list[SourceImage]:
    """The files among some paths below a folder, whatever their names."""
    root = root.absolute()
    paths = {name: root / name for name in names}
    return [
        SourceImage(name, path, label=path.parent.name if path.parent.name in labels else "")
        for name, path in sorted(paths.items())
        if path.is_file() or not path.exists()  # a link that leads nowhere: reading it will say so
    ]


def _matches(pattern: Path, labels: Collection[str]) -> list[SourceImage]:
    """The files that a pattern matches, named from the last folder before its first wildcard."""
    fixed = next(i for i, part in enumerate(pattern.parts) if MAGIC.search(part))
    root = Path(*pattern.parts[:fixed])
    return _files(root, glob.glob(str(Path(*pattern.parts[fixed:])), root_dir=root, recursive=True), labels)


def _rows(source: str) -> tuple[int, Iterator[SourceImage]]:
    """The images of all splits of a dataset, in its order."""
    check_local(source, "SOURCE")
    folder = Path(source)
    if not folder.is_dir() and not re.fullmatch(r"[\w.-]+/[\w.-]+", source):
        raise UsageError(f"{source} does not exist. Give {KINDS}.")
    splits = open_splits(source, content_digest(folder), source, KINDS)
    features = next(iter(splits.values())).features
    if not isinstance(features.get("image"), datasets.Image):
        raise UsageError(f"{source} has no column image that holds images (it has: {', '.join(features)}).")
    total = sum(len(split) for split in splits.values())
    if not total:
        raise UsageError(f"{source} holds no images: its splits are empty.")
    return total, (image for name, split in splits.items() for image in _rows_of_split(name, split))


def _rows_of_split(name: str, split: datasets.Dataset) -> Iterator[SourceImage]:
    columns = [column for column in ("image", "source", "patient", "label") if column in split.features]
    encoded = split.select_columns(columns).cast_column("image", datasets.Image(decode=False))
    names = getattr(split.features.get("label"), "names", None)
    for index, row in enumerate(encoded):
        image, label = row["image"], row.get("label")
        if names:  # the Hub writes -1 for "unlabelled"
            label = names[label] if label is not None and label >= 0 else ""
        stored = image["bytes"] or Path(image["path"])
        where = row.get("source") or f"{name}/{index}"
        yield SourceImage(where, stored, name, str(row.get("patient") or ""), str(label or ""))
