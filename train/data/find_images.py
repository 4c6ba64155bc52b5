"""Find the images to classify: in a dataset, a folder, a zip that is not trusted, a glob pattern, or one file."""

import glob
import re
from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from space.errors import UsageError, check_local
from space.imaging.archives import Folder, ImageFile, Source, Zip, is_zip, refuse_other_archives
from space.imaging.kinds import is_image
from train.common.csv_cells import csv_safe

if TYPE_CHECKING:  # takes seconds to import, and only datasets need it
    import datasets

NAMES_SHOWN = 5
MAGIC = re.compile(r"[*?\[]")
KINDS = (
    "a dataset folder made by `python -m hub.convert`, a folder of images, a .zip, an image, a glob pattern in "
    "quotes, or a dataset repository OWNER/NAME on the Hub"
)


@dataclass(frozen=True)
class SourceImage:
    """An image that is listed, but not read yet.

    Attributes:
        source: Its path inside what the user named; in a dataset, the column of that name.
        file: Its file, its bytes, or what reads them.
        split, patient, label: As a dataset states them, "" where unknown. Outside datasets `label` is the name of the
            image's folder, if the model has a class of that name.
    """

    source: str
    file: ImageFile
    split: str = ""
    patient: str = ""
    label: str = ""


def check_source(source: str) -> None:
    """Tell a mistyped source from a glob pattern and from a repository, which is not asked for here.

    Raises:
        UsageError: There is no such file or folder.
    """
    if not MAGIC.search(source):
        check_local(source, "SOURCE")


@contextmanager
def find_images(source: str, labels: Collection[str]) -> Iterator[tuple[int, Iterable[SourceImage]]]:
    """List images, and keep the zip that they may lie in open for the block.

    Args:
        source: A dataset folder or repository, a folder of images, a zip, an image, or a glob pattern.
        labels: Classes of the model; a folder that is named like one states the label of its images.

    Yields:
        How many there are, and the images: those of a dataset in its order, others sorted by path.

    Raises:
        UsageError: There is no such source, no image in it, or it is an archive of another kind.
        XrayError: The zip is damaged or hostile.
    """
    path = Path(source)
    with ExitStack() as opened:
        if path.is_dir() and not _is_dataset(path):
            images = _inside(Folder(path), labels, path.absolute().name)
        elif path.is_file() and is_zip(path):
            images = _inside(opened.enter_context(closing(Zip(path))), labels, "")
        elif path.is_file():
            refuse_other_archives(path)
            images = _files(path.parent, [path.name], labels)
        elif MAGIC.search(source) and not path.exists():
            images = _matches(path, labels)
        else:
            yield _rows(source)
            return
        if not images:
            raise UsageError(
                f"{source} has no images: no file is one, by its name or its first bytes. To take files whatever they "
                "are, give a glob pattern in quotes, for example 'FOLDER/*'."
            )
        yield len(images), images


def _is_dataset(folder: Path) -> bool:
    return any(True for pattern in ("*.parquet", "data/*.parquet") for _ in folder.glob(pattern))


def _inside(source: Source, labels: Collection[str], root: str) -> list[SourceImage]:
    """The images in a folder or zip, in order; `root` is the name of the folder itself."""
    images, others = [], []
    for name in source.sizes:
        if is_image(source, name):
            parent = PurePosixPath(root, name).parent.name
            images.append(SourceImage(name, partial(source.read, name), label=parent if parent in labels else ""))
        else:
            others.append(csv_safe(name, "./"))
    if others:
        more = ", …" if len(others) > NAMES_SHOWN else ""
        print(f"left out, because they are not images: {len(others):,} files ({', '.join(others[:NAMES_SHOWN])}{more})")
    return images


def _files(root: Path, names: Iterable[str], labels: Collection[str]) -> list[SourceImage]:
    """The files among some paths below a folder, whatever their names."""
    root = root.absolute()
    paths = {name: root / name for name in names}
    return [
        SourceImage(name, path, label=path.parent.name if path.parent.name in labels else "")
        for name, path in sorted(paths.items())
        if path.is_file() or not path.exists()  # a broken link: reading it will say so
    ]


def _matches(pattern: Path, labels: Collection[str]) -> list[SourceImage]:
    """The files that a pattern matches, named from the last folder before its first wildcard."""
    fixed = next(i for i, part in enumerate(pattern.parts) if MAGIC.search(part))
    root = Path(*pattern.parts[:fixed])
    return _files(root, glob.glob(str(Path(*pattern.parts[fixed:])), root_dir=root, recursive=True), labels)


def _rows(source: str) -> tuple[int, Iterator[SourceImage]]:
    """The images of all splits of a dataset, in its order."""
    import datasets

    from train.data.dataset import content_digest, open_splits

    check_source(source)
    splits = open_splits(source, content_digest(Path(source)), source, KINDS)
    features = next(iter(splits.values())).features
    if not isinstance(features.get("image"), datasets.Image):
        raise UsageError(f"{source} has no column `image` with images. Its columns: {', '.join(features)}.")
    total = sum(len(split) for split in splits.values())
    if not total:
        raise UsageError(f"{source} has no images: its splits are empty.")
    return total, (image for name, split in splits.items() for image in _rows_of_split(name, split))


def _rows_of_split(name: str, split: "datasets.Dataset") -> Iterator[SourceImage]:
    import datasets

    columns = [column for column in ("image", "source", "patient", "label") if column in split.features]
    encoded = split.select_columns(columns).cast_column("image", datasets.Image(decode=False))
    names = getattr(split.features.get("label"), "names", None)
    for index, row in enumerate(encoded):
        image, label = row["image"], row.get("label")
        if names:  # the Hub writes -1 for "unlabelled"
            label = names[label] if label is not None and label >= 0 else ""
        file = image["bytes"] or Path(image["path"])
        source = row.get("source") or f"{name}/{index}"
        yield SourceImage(source, file, name, str(row.get("patient") or ""), str(label or ""))
