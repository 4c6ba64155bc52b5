"""What every layout of a chest X-ray folder says about itself and its images."""

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import ClassVar

from space.imaging.archives import Source
from space.imaging.kinds import is_image

_MASK_FOLDER = re.compile(r"(^|(?<!without)(?<!no)[ _-])masks?($|[ _-])", re.IGNORECASE)


# x, y, width, height in pixels of the upright image, from its upper left corner.
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Record:
    """One image of a source.

    Attributes:
        name: The file's path inside the source.
        source: Its path inside the layout's root folder, with "/".
        split: "train", "validation" or "test", as the publisher set it; None where the layout has no splits.
        label: Class name.
        patient: Key of the patient by the strict naming rule; None where the name says nothing.
        group: Key by the loose naming rule: images that may be of one patient, never separated by a new split.
        facts: {extra column: value} of the layout's `columns`.
        masks: {mask column: path of the mask inside the source}.
        boxes: Boxes around findings.
    """

    name: str
    source: str
    split: str | None
    label: str
    patient: str | None = None
    group: str | None = None
    facts: Mapping[str, str | None] = field(default_factory=dict)
    masks: Mapping[str, str] = field(default_factory=dict)
    boxes: tuple[Box, ...] = ()


class Tree:
    """The files of a source, folder by folder.

    Attributes:
        files: {folder, "" for the top: its files' names}, in order.
        folders: All folders, also those that hold folders alone.
        named: {name without path: folders of that name}.
        is_image: {path: whether the file is an image, by its name or its first bytes}.
    """

    def __init__(self, source: Source):
        self.is_image = {name: is_image(source, name) for name in source.sizes}
        self.files: dict[str, list[str]] = {}
        for name in source.sizes:
            folder, _, file = name.rpartition("/")
            self.files.setdefault(folder, []).append(file)
        self.folders = {""}
        self.named: dict[str, list[str]] = {}
        for folder in self.files:
            path = PurePosixPath(folder)
            self.folders |= {str(path), *map(str, path.parents)} - {"."}
        for folder in sorted(self.folders):
            self.named.setdefault(folder.rpartition("/")[2], []).append(folder)

    def images(self, folder: str) -> list[str]:
        """Paths of the images directly in a folder; none for folders of masks."""
        if any(_MASK_FOLDER.search(part) for part in folder.split("/")):
            return []
        names = (join(folder, name) for name in self.files.get(folder, ()))
        return [name for name in names if self.is_image[name]]

    def below(self, folder: str) -> list[str]:
        """The folder itself and all folders below it, in order."""
        return sorted(f for f in self.folders if not folder or f == folder or f.startswith(f"{folder}/"))

    def children(self, folder: str) -> list[str]:
        """Names of the folders directly in a folder."""
        prefix = f"{folder}/" if folder else ""
        inside = (f.removeprefix(prefix) for f in self.folders if f.startswith(prefix) and f != folder)
        return sorted(name for name in inside if name and "/" not in name)


class Layout(ABC):
    """A kind of chest X-ray folder. Subclasses say how it is recognised and what its names mean.

    Attributes:
        name: Name for `--layout`.
        slug: `owner/name` on Kaggle; "" for none.
        title: Name of the dataset.
        license: Identifier for the Hub; license_note says where it was read.
        license_checked: Whether the publisher's own words were read; if not, nothing is made public by it.
        citation: What to cite.
        structure: How the folder must look, for messages.
        labels: {class: its meaning}; empty where the source itself names its classes.
        patient_rule: How patients are read from names, in one or two sentences.
        about: {"population", "acquisition", "exclusion", "reference": what the publisher says of who was taken, how,
            what was left out, and who or what says which class an image is of}, as far as it is known here.
        problems: What is known to be wrong with the dataset.
        columns: {extra string column: its meaning}.
        mask_columns: {mask column besides `lung_mask`: its meaning}.
        private: The source may name patients, so file names and patient keys are replaced by running numbers.
    """

    name: ClassVar[str]
    slug: ClassVar[str] = ""
    title: ClassVar[str]
    license: ClassVar[str]
    license_note: ClassVar[str]
    license_checked: ClassVar[bool] = True
    citation: ClassVar[str]
    structure: ClassVar[str]
    labels: ClassVar[dict[str, str]] = {}
    patient_rule: ClassVar[str]
    about: ClassVar[dict[str, str]] = {}
    problems: ClassVar[tuple[str, ...]] = ()
    columns: ClassVar[dict[str, str]] = {}
    mask_columns: ClassVar[dict[str, str]] = {}
    private: ClassVar[bool] = False

    @property
    def link(self) -> str:
        """Address of the dataset's page on Kaggle; "" for none."""
        kind = "" if self.slug.startswith("competitions/") else "datasets/"
        return f"https://www.kaggle.com/{kind}{self.slug}" if self.slug else ""

    @abstractmethod
    def fits(self, tree: Tree, root: str) -> bool:
        """Whether this folder of the source is the layout's root."""

    @abstractmethod
    def records(self, source: Source, tree: Tree, root: str) -> list[Record]:
        """The images below `root`, in a fixed order.

        Raises:
            UsageError: The folder's own tables contradict themselves or its files.
        """

    def roots(self, tree: Tree) -> list[str]:
        """Every root in the source, outermost first; what lies below another root is a copy, and left out."""
        roots: list[str] = []
        for folder in sorted(tree.folders, key=lambda f: (f.count("/") + bool(f), f)):
            inside = any(not root or folder.startswith(f"{root}/") for root in roots)
            if not inside and self.fits(tree, folder):
                roots.append(folder)
        return roots


class SplitFolders(Layout):
    """Layouts of the form `{split}/{class}/image`, with all classes in train and in test.

    Attributes:
        splits: {folder: split}.
    """

    splits: ClassVar[dict[str, str]]

    def fits(self, tree: Tree, root: str) -> bool:
        """Whether train and test hold every class."""
        return all(tree.images(join(root, split, label)) for split in ("train", "test") for label in self.labels)

    def records(self, source: Source, tree: Tree, root: str) -> list[Record]:
        """The images of every split and class that is there."""
        return [
            self.record(name, relative(name, root), split, label)
            for folder, split in self.splits.items()
            for label in self.labels
            for name in tree.images(join(root, folder, label))
        ]

    def record(self, name: str, path: str, split: str, label: str) -> Record:
        """One image; `path` is its path below the root."""
        return Record(name, path, split, label)


def printable(name: str) -> str:
    """A file name without the surrogates that stand for bytes that are no UTF-8."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def join(*parts: str) -> str:
    """Join paths with "/", leaving out empty parts."""
    return "/".join(part for part in parts if part)


def relative(name: str, root: str) -> str:
    """A path below `root`, relative to it."""
    return name.removeprefix(f"{root}/") if root else name
