"""Kermany's paediatric chest X-rays, as Kaggle distributes them."""

import re
from pathlib import PurePosixPath
from typing import ClassVar

from hub.layouts.base import Record, SplitFolders, Tree
from space.imaging.archives import Source


class ChestXrayPneumonia(SplitFolders):
    """Kermany's paediatric chest X-rays: 5,856 images, normal or pneumonia."""

    name = "chest-xray-pneumonia"
    slug = "paultimothymooney/chest-xray-pneumonia"
    title = "Chest X-Ray Images (Pneumonia)"
    license = "cc-by-4.0"
    license_note = "stated by the publisher (Mendeley Data)"
    citation = (
        "Kermany D, Zhang K, Goldbaum M. Labeled Optical Coherence Tomography (OCT) and Chest X-Ray Images for "
        "Classification. Mendeley Data, v2, 2018, doi:10.17632/rscbjbr9sj.2; Kermany DS et al. Identifying Medical "
        "Diagnoses and Treatable Diseases by Image-Based Deep Learning. Cell 172(5), 2018."
    )
    structure = "[chest_xray/]{train,val,test}/{NORMAL,PNEUMONIA}"
    labels: ClassVar = {
        "NORMAL": "no sign of pneumonia on the radiograph",
        "PNEUMONIA": "bacterial or viral pneumonia, as two physicians graded the radiograph",
    }
    about: ClassVar = {
        "population": "children aged 1 to 5 at one hospital (Guangzhou Women and Children's Medical Center)",
        "acquisition": "anterior-posterior view, taken in routine care",
        "exclusion": "the publisher removed images of low quality and unreadable ones",
        "reference": "the radiograph itself, graded by two physicians; the test split was also checked by a third",
    }
    patient_rule = (
        "`person<N>_<bacteria|virus>_<M>` is patient `person<N>_<bacteria|virus>`; `IM-<N>-…` is patient `IM-<N>`; "
        "`NORMAL2-IM-<N>-…` is patient `NORMAL2-IM-<N>`. Bacteria and virus count N separately, and the two kinds of "
        "IM names may do so too. The publisher does not say, so new splits keep images of one class with the same N "
        "together."
    )
    problems = (
        "The images show children (1 to 5 years) from one hospital. Results here say little about adults or other "
        "hospitals.",
        "The classes differ in things that are not disease: in the originals, image height alone separates them with "
        "an AUROC of 0.92, and the outer frame alone classifies 88.5% correctly.",
        "The test split was collected differently from the rest: a validation split taken from train gives much "
        "better scores than test does.",
        "The publisher's validation split has 16 images, too few to choose a model by.",
        "Some images occur more than once: 32 exact copies, each within one class and split.",
    )
    columns: ClassVar = {"subtype": "bacteria, virus or none, from the file name; null where it does not say"}
    splits: ClassVar = {"train": "train", "val": "validation", "test": "test"}
    _PNEUMONIA_NAME = re.compile(r"person(\d+)_(bacteria|virus)_\d+")
    _NORMAL_NAME = re.compile(r"((?:NORMAL2-)?IM-(\d+))-\d+")

    def records(self, source: Source, tree: Tree, root: str) -> list[Record]:
        """The images; a note is printed where most names do not follow the rules, as in another dataset."""
        records = super().records(source, tree, root)
        unknown = sum(record.patient is None for record in records)
        if unknown > len(records) / 2:
            print(
                f"note: {unknown:,} of {len(records):,} file names do not follow the rules of {self.name}. If this is "
                "another dataset, use --layout image-folder: otherwise its card names the wrong source and licence."
            )
        return records

    def record(self, name: str, path: str, split: str, label: str) -> Record:
        """One image, with its patient and the kind of pneumonia."""
        stem = PurePosixPath(name).stem
        patient, group = self.patient_of(stem)
        match = self._PNEUMONIA_NAME.match(stem)
        subtype = "none" if label == "NORMAL" else match[2] if match else None
        return Record(name, path, split, label, patient, group, {"subtype": subtype})

    def patient_of(self, stem: str) -> tuple[str | None, str | None]:
        """Read the strict and the loose patient key from a file name without its ending (see `patient_rule`)."""
        if match := self._PNEUMONIA_NAME.match(stem):
            return f"person{match[1]}_{match[2]}", f"pneumonia-{int(match[1])}"
        if match := self._NORMAL_NAME.match(stem):
            return match[1], f"normal-{int(match[2])}"
        return None, None
