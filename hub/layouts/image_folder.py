"""Any `[split/]class/image` tree: a hospital's own folder, or a Kaggle set that has no layout here."""

import posixpath
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar

from hub.layouts.base import Box, Layout, Record, Tree, join, printable, relative
from hub.layouts.tables import Table, read_boxes, read_table
from space.errors import UsageError
from space.imaging.archives import Source

SPLIT_ALIASES = {
    "train": "train", "training": "train",
    "val": "validation", "valid": "validation", "validation": "validation", "dev": "validation",
    "test": "test", "testing": "test",
}  # fmt: skip
METADATA = "metadata.csv"
BOXES = ("boxes.csv", "opacity_boxes.csv")
PATIENT_NAMES = ("patient", "patient_id", "patientid", "subject", "subject_id")  # of several, the first that is filled
# Names that a key of patients may have, unless they state a property of the patient.
PATIENT_LIKE = re.compile(
    r"(?!.*(age|sex|gender|birth|born|weight|height|size|position|orient))"
    r".*(patient|subject|participant|person|individual|case|mrn|study.?id)|^p?id$"
)


class ImageFolder(Layout):
    """The fallback: class folders, with or without split folders above them; perhaps metadata.csv and boxes.csv."""

    name = "image-folder"
    title = "Chest X-ray folder"
    license = "unknown"
    license_note = "nothing is known about the rights to these images; find out before you share them"
    citation = "the owner of the folder"
    structure = "[train|val|test/]CLASS/*.{png,jpg,jpeg,dcm} with two classes or more, and/or metadata.csv"
    patient_rule = (
        "Patients are known only from a column `patient` in metadata.csv. New splits keep subfolders of one name "
        "together, as if each were one patient."
    )
    columns: ClassVar = {
        "view": "view position from metadata.csv or the DICOM file",
        "origin": "source of the image, from metadata.csv",
        "subtype": "finer class, from metadata.csv",
        "evidence": "how the class is known, from metadata.csv",
        "age": "age in years, from metadata.csv",
        "sex": "sex, from metadata.csv",
    }
    private = True

    def fits(self, tree: Tree, root: str) -> bool:
        """Whether there are class folders of images below `root`, or a metadata.csv in it."""
        if METADATA in tree.files.get(root, ()):
            return True
        top = _with_images(tree, root)
        return len(top) > 1 or (len(top) == 1 and top[0].lower() in SPLIT_ALIASES)  # else a mere wrapper

    def records(self, source: Source, tree: Tree, root: str) -> list[Record]:
        """The images with a class from their folder or from metadata.csv, which has the last word.

        Raises:
            UsageError: Split folders and class folders are mixed, or metadata.csv or boxes.csv cannot be used.
        """
        top = _with_images(tree, root)
        splits = [child for child in top if child.lower() in SPLIT_ALIASES]
        if splits and len(splits) < len(top):
            others = ", ".join(child for child in top if child not in splits)
            raise UsageError(
                f"{source.title} has split folders ({', '.join(splits)}) beside other folders with images ({others}). "
                "Move the others into a split, or give a folder with only one kind."
            )
        table = _metadata(source, tree, root)
        names = [
            *tree.images(root),
            *(n for child in top for f in tree.below(join(root, child)) for n in tree.images(f)),
        ]
        boxes = _boxes(source, tree, root)
        records = [
            replace(record, boxes=tuple(boxes.get(record.name, ())))
            for record in _read(names, root, table, with_splits=bool(splits))
        ]
        if len(records) < len(names):
            left = sorted(set(names) - {record.name for record in records})
            print(
                f"note: {len(left):,} images have no class, by folder or metadata.csv, and are left out: {left[0]}, …"
            )
        if names and not records:
            raise UsageError(
                f"{source.title}: no image has a class. Add a column label to {METADATA}, or use class folders."
            )
        return records


USED = {"patient", "label", "split", *ImageFolder.columns}


def _with_images(tree: Tree, root: str) -> list[str]:
    """Names of the folders in `root` that hold images, however deep; a copy of the tree inside itself is left out."""
    children = (child for child in tree.children(root) if child != root.rpartition("/")[2])
    return [child for child in children if any(map(tree.images, tree.below(join(root, child))))]


def _read(names: list[str], root: str, table: dict[str, dict[str, str]], with_splits: bool) -> Iterator[Record]:
    places = [relative(name, root).split("/")[:-1] for name in names]
    # One folder for all images (`images`) groups nothing.
    grouped = len({tuple(parts[with_splits + 1 :]) for parts in places} - {()}) > 1
    for name, parts in zip(names, places, strict=True):
        path = relative(name, root)
        row = table.get(path, {})
        split = SPLIT_ALIASES[parts[0].lower()] if with_splits and parts else None
        if row.get("split"):
            split = _split_of(row["split"])
        inner = parts[with_splits:]
        if misplaced := [part for part in inner[1:] if part.lower() in SPLIT_ALIASES]:
            raise UsageError(
                f"{path}: the split folder {misplaced[0]!r} lies inside {inner[0]!r}. Split folders must be at the "
                "top (train/CLASS/…). Move them there, or give the folder that contains them."
            )
        label = row.get("label") or (inner[0] if inner else None)
        if label is None:
            continue
        patient = row.get("patient") or None
        group = patient or ("/".join(inner[1:]) if grouped else None) or None
        facts = {column: row.get(column) or None for column in ImageFolder.columns}
        yield Record(name, path, split, printable(label), patient, group, facts)


def _split_of(value: str) -> str:
    try:
        return SPLIT_ALIASES[value.strip().lower()]
    except KeyError:
        raise UsageError(f"{METADATA}: split {value!r} is unknown. Allowed: {', '.join(SPLIT_ALIASES)}.") from None


def _metadata(source: Source, tree: Tree, root: str) -> dict[str, dict[str, str]]:
    """{path below `root`: row} of every metadata.csv; their file names are relative to its folder.

    Columns other than those that are used here (a name, a date of birth) are not read into anything.
    """
    table: dict[str, dict[str, str]] = {}
    for folder in tree.below(root):
        if METADATA not in tree.files.get(folder, ()):
            continue
        where = join(folder, METADATA)
        read = read_table(source, where)
        header = _columns(where, read)
        if "file_name" not in header:
            raise UsageError(
                f"{where} needs a column file_name. It was read as {read.reading}. Other columns that are used: "
                f"{', '.join(sorted(USED))}."
            )
        unused = sorted(set(header) - USED - {"file_name", ""})
        if unused:
            print(f"note: {where}: ignored columns: {', '.join(unused)}; used: file_name, {', '.join(sorted(USED))}")
        for name in filter(PATIENT_LIKE.search, unused):
            print(
                f"warning: {where}: the column {name} may name patients, and is not used. If it does, call it "
                "`patient`, or one person's images may be in several splits"
            )
        for row in (dict(zip(header, (cell.strip() for cell in cells), strict=False)) for cells in read.rows if cells):
            file_name = row.get("file_name", "")
            name = posixpath.normpath(join(folder, file_name))
            if name not in source.sizes:
                raise UsageError(f"{where} names {file_name!r}, which does not exist.")
            cells_used = {column: value for column, value in row.items() if column in USED and value}
            if table.setdefault(relative(name, root), cells_used) != cells_used:
                raise UsageError(f"{where} has two different rows for {file_name!r}.")
    return table


def _columns(where: str, table: Table) -> list[str]:
    """The names of a table's columns, in lower case; the one that names patients is called `patient`, empty ones "".

    Raises:
        UsageError: Two have one name.
    """
    names = [name.lower() for name in table.header]
    if twice := [name for name, n in Counter(filter(None, names)).items() if n > 1]:
        raise UsageError(f"{where} has more than one column {twice[0]}. Delete or rename all but one.")
    filled = {names[place] for row in table.rows for place, cell in enumerate(row[: len(names)]) if cell.strip()}
    keys = [name for name in PATIENT_NAMES if name in names and name in filled]
    empty = set(PATIENT_NAMES) - set(keys)
    return ["patient" if name in keys[:1] else "" if name in empty else name for name in names]


def _boxes(source: Source, tree: Tree, root: str) -> dict[str, list[Box]]:
    """{path inside the source: boxes} of every boxes.csv; its file names are relative to its folder."""
    boxes: dict[str, list[Box]] = {}
    for table in (join(folder, name) for folder in tree.below(root) for name in BOXES):
        if table not in source.sizes:
            continue
        for file_name, drawn in read_boxes(source, table, "file_name").items():
            name = posixpath.normpath(posixpath.join(posixpath.dirname(table), file_name))
            if name not in source.sizes:
                raise UsageError(f"{table} names {file_name!r}, which does not exist.")
            boxes.setdefault(name, []).extend(drawn)
    return boxes
