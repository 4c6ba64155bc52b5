"""Kaggle chest X-ray layouts: where pictures, splits, labels and patients stand in each."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from space.errors import UsageError

PICTURE_SUFFIXES = {".jpeg", ".jpg", ".png"}


@dataclass(frozen=True)
class Record:
    """One picture of a Kaggle folder.

    Attributes:
        path: Where the file is.
        source: Its path inside the Kaggle folder, with "/".
        split: "train", "validation" or "test", as the publisher set it.
        label: Class name.
        patient: Key of the patient by the strict naming rule; None where the name says nothing.
        group: Key by the loose naming rule: pictures that may be of one patient, never separated by a new split.
    """

    path: Path
    source: str
    split: str
    label: str
    patient: str | None
    group: str | None


class ChestXrayPneumonia:
    """Kermany's paediatric chest X-rays as Kaggle holds them: 5,856 pictures, normal or pneumonia.

    Kermany D, Zhang K, Goldbaum M. Labeled Optical Coherence Tomography (OCT) and Chest X-Ray Images for
    Classification. Mendeley Data, v2, 2018.
    """

    name = "chest-xray-pneumonia"
    slug = "paultimothymooney/chest-xray-pneumonia"
    title = "Chest X-Ray Images (Pneumonia)"
    license = "cc-by-4.0"
    citation = (
        "Kermany D, Zhang K, Goldbaum M. Labeled Optical Coherence Tomography (OCT) and Chest X-Ray Images for "
        "Classification. Mendeley Data, v2, 2018, doi:10.17632/rscbjbr9sj.2; Kermany DS et al. Identifying Medical "
        "Diagnoses and Treatable Diseases by Image-Based Deep Learning. Cell 172(5), 2018."
    )
    structure = "[chest_xray/]{train,val,test}/{NORMAL,PNEUMONIA}"
    labels: ClassVar = {
        "NORMAL": "no sign of pneumonia on the radiograph",
        "PNEUMONIA": "bacterial or viral pneumonia, as graded by two physicians and checked by a third",
    }
    patient_rule = (
        "`person<N>_<bacteria|virus>_<M>` is patient `person<N>_<bacteria|virus>`; `IM-<N>-…` is patient `IM-<N>`; "
        "`NORMAL2-IM-<N>-…` is patient `NORMAL2-IM-<N>`. Bacteria and virus count N separately, and so may the two "
        "kinds of IM names; because the publisher does not say so, new splits keep pictures with the same bare N of "
        "one class together."
    )
    splits: ClassVar = {"train": "train", "val": "validation", "test": "test"}
    _PNEUMONIA_NAME = re.compile(r"person(\d+)_(bacteria|virus)_\d+")
    _NORMAL_NAME = re.compile(r"((?:NORMAL2-)?IM-(\d+))-\d+")

    def find_root(self, source: Path) -> Path | None:
        """Find the folder that holds train and test; None if this is not the layout.

        Kaggle's zip holds the tree twice (`chest_xray/chest_xray`): the outermost complete tree is taken, once.
        """
        for root in (source, source / "chest_xray", source / "chest_xray" / "chest_xray"):
            if all((root / split / label).is_dir() for split in ("train", "test") for label in self.labels):
                return root
        return None

    def records(self, root: Path) -> Iterator[Record]:
        """List the pictures below `root` (from `find_root`) in a fixed order; hidden and other files are skipped."""
        for folder, split in self.splits.items():
            for label in self.labels:
                for path in sorted((root / folder / label).glob("*")):
                    if path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith(".") and path.is_file():
                        patient, group = self.patient_of(path.stem)
                        yield Record(path, f"{folder}/{label}/{path.name}", split, label, patient, group)

    def patient_of(self, stem: str) -> tuple[str | None, str | None]:
        """Read the strict and the loose patient key from a file name without its ending (see `patient_rule`)."""
        if match := self._PNEUMONIA_NAME.match(stem):
            return f"person{match[1]}_{match[2]}", f"pneumonia-{int(match[1])}"
        if match := self._NORMAL_NAME.match(stem):
            return match[1], f"normal-{int(match[2])}"
        return None, None


LAYOUTS = {layout.name: layout for layout in (ChestXrayPneumonia(),)}


def recognise(source: Path, layout: str | None = None) -> tuple[ChestXrayPneumonia, Path]:
    """Find out which Kaggle layout a folder has, by its structure.

    Args:
        source: Folder as downloaded from Kaggle and unpacked.
        layout: Name of a layout, to look for that one alone.

    Returns:
        The layout, and the folder in which its tree starts.

    Raises:
        UsageError: There is no such folder or layout, or the folder has none of the layouts; the message lists what
            was looked for and what was found.
    """
    if layout is not None and layout not in LAYOUTS:
        raise UsageError(f"--layout {layout!r} is unknown. Known layouts: {', '.join(LAYOUTS)}.")
    if not source.is_dir():
        kind = "is a file" if source.exists() else "does not exist"
        raise UsageError(f"{source} {kind}; give the unpacked folder of a Kaggle dataset.")
    candidates = [LAYOUTS[layout]] if layout else list(LAYOUTS.values())
    for candidate in candidates:
        if root := candidate.find_root(source):
            return candidate, root
    looked_for = "; ".join(f"{candidate.name}: {candidate.structure}" for candidate in candidates)
    raise UsageError(f"{source} has no known layout.\n  looked for: {looked_for}\n  found: {_contents(source)}")


def _contents(source: Path, most: int = 12) -> str:
    """A few lines' worth of what stands in the first two levels of a folder."""
    found = sorted(path.relative_to(source).as_posix() + "/" * path.is_dir() for path in source.glob("*"))
    found += sorted(path.relative_to(source).as_posix() + "/" * path.is_dir() for path in source.glob("*/*"))
    more = f" and {len(found) - most} more" if len(found) > most else ""
    return (", ".join(found[:most]) + more) or "an empty folder"
