"""Kaggle chest X-ray layouts: where pictures, splits, labels, masks and patients stand in each."""

import re
from pathlib import PurePosixPath
from typing import ClassVar

from hub.image_folder import ImageFolder
from hub.layout import Layout, Record, SplitFolders, Tree, join
from hub.qatar import Covid19RadiographyDatabase, CovidQuEx
from hub.rsna import RsnaPneumonia
from space.errors import UsageError
from train.sources import Source


class ChestXrayPneumonia(SplitFolders):
    """Kermany's paediatric chest X-rays: 5,856 pictures, normal or pneumonia."""

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
        "population": "children of 1 to 5 years, of one hospital (Guangzhou Women and Children's Medical Center)",
        "acquisition": "anterior-posterior view, taken in routine care",
        "exclusion": "the publisher removed pictures of low quality and unreadable ones",
        "reference": "the radiograph itself, graded by two physicians; the test split was also checked by a third",
    }
    patient_rule = (
        "`person<N>_<bacteria|virus>_<M>` is patient `person<N>_<bacteria|virus>`; `IM-<N>-…` is patient `IM-<N>`; "
        "`NORMAL2-IM-<N>-…` is patient `NORMAL2-IM-<N>`. Bacteria and virus count N separately, and so may the two "
        "kinds of IM names; because the publisher does not say so, new splits keep pictures with the same bare N of "
        "one class together."
    )
    problems = (
        "The pictures show children (1 to 5 years) of one hospital. How well a model does here says little about "
        "adults or other hospitals.",
        "The two classes can be told apart by things that are not disease: in the originals, the height of the picture "
        "alone separates them with an AUROC of 0.92, and its outer frame alone classifies 88.5% right.",
        "The test split was gathered differently from the rest: scores on a validation split cut from train are far "
        "more flattering than scores on test.",
        "The publisher's validation split has 16 pictures, too few to choose anything by.",
        "Some pictures stand in it more than once: 32 exact copies, all of one class and split.",
    )
    columns: ClassVar = {"subtype": "bacteria, virus or none, as the file name says; null where it says nothing"}
    splits: ClassVar = {"train": "train", "val": "validation", "test": "test"}
    _PNEUMONIA_NAME = re.compile(r"person(\d+)_(bacteria|virus)_\d+")
    _NORMAL_NAME = re.compile(r"((?:NORMAL2-)?IM-(\d+))-\d+")

    def records(self, source: Source, tree: Tree, root: str) -> list[Record]:
        """The pictures; a note is printed where most names do not follow the rules, as in another dataset."""
        found = super().records(source, tree, root)
        unknown = sum(record.patient is None for record in found)
        if unknown > len(found) / 2:
            print(
                f"note: {unknown:,} of {len(found):,} file names do not follow the rules of {self.name}. If this is "
                "another dataset, use --layout image-folder; else its card names the wrong source and licence."
            )
        return found

    def record(self, name: str, path: str, split: str, label: str) -> Record:
        """One picture, with its patient and the kind of pneumonia."""
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


class Covid19ImageDataset(SplitFolders):
    """Raikote's 317 pictures: COVID-19, viral pneumonia, normal."""

    name = "covid19-image-dataset"
    slug = "pranavraikokte/covid19-image-dataset"
    title = "Covid-19 Image Dataset"
    license = "cc-by-sa-4.0"
    license_note = (
        "as remembered from the Kaggle page; each COVID-19 picture has a licence of its own in the COVID-19 image data "
        "collection. Check before you redistribute"
    )
    citation = (
        "Raikote P. Covid-19 Image Dataset, Kaggle, 2020; Cohen JP, Morrison P, Dao L. COVID-19 image data collection, "
        "arXiv:2003.11597, 2020."
    )
    structure = "[Covid19-dataset/]{train,test}/{Covid,Normal,Viral Pneumonia}"
    labels: ClassVar = {
        "Covid": "COVID-19, from publications and case reports on the web; adults",
        "Normal": "no finding; children",
        "Viral Pneumonia": "viral pneumonia other than COVID-19; children",
    }
    about: ClassVar = {
        "population": "COVID-19: adults, from publications and case reports; the other classes: children",
        "reference": "what the publications, web pages and datasets say that the pictures come from",
    }
    patient_rule = "File names say nothing about patients; copies of one picture are kept together by new splits."
    problems = (
        "COVID-19 pictures show adults and all others children: age and body size give the class away.",
        "As published, some test pictures of class Covid also stand in train.",
        "Most Normal and Viral Pneumonia pictures are contrast-enhanced copies of test pictures of "
        "chest-xray-pneumonia: neither set can be an external test of a model that was trained on the other.",
        "30 of the 90 Viral Pneumonia pictures, 17 of the 20 in test among them, are copies of pictures that "
        "chest-xray-pneumonia calls bacterial; and one picture of class Covid (`train/Covid/COVID-00020.jpg`) is of a "
        "child with viral pneumonia there.",
        "317 pictures are few: intervals are wide, and a difference of a few points between models means nothing.",
    )
    splits: ClassVar = {"train": "train", "test": "test"}


LAYOUTS: dict[str, Layout] = {
    layout.name: layout
    for layout in (
        ChestXrayPneumonia(), Covid19ImageDataset(), CovidQuEx(), Covid19RadiographyDatabase(), RsnaPneumonia(),
        ImageFolder(),
    )
}  # fmt: skip


def recognise(source: Source, layout: str | None = None) -> tuple[Layout, str, Tree]:
    """Find out which layout a source has, by its structure.

    Args:
        source: Where the pictures are.
        layout: Name of a layout, to look for that one alone.

    Returns:
        The layout, the folder of the source in which it starts ("" for the top), and the source's files.

    Raises:
        UsageError: There is no layout of that name; the source has none of the layouts, or several, or one of them
            twice. The message lists what was looked for and what was found.
    """
    if layout is not None and layout not in LAYOUTS:
        raise UsageError(f"--layout {layout!r} is unknown. Known layouts: {', '.join(LAYOUTS)}.")
    tree = Tree(source)
    candidates = [LAYOUTS[layout]] if layout else [known for known in LAYOUTS.values() if known.name != "image-folder"]
    found = [(candidate, root) for candidate in candidates for root in candidate.roots(tree)]
    if not found and not layout:
        fallback = LAYOUTS["image-folder"]
        found = [(fallback, root) for root in fallback.roots(tree)[:1]]
    if len(found) == 1:
        return *found[0], tree
    if found:
        listed = "; ".join(f"{candidate.name} in {root or 'the top folder'}" for candidate, root in found)
        raise UsageError(
            f"{source.title} has more than one possible layout: {listed}. Choose one with --layout, or give "
            "the folder that is meant."
        )
    looked_for = "; ".join(f"{known.name}: {known.structure}" for known in (candidates if layout else LAYOUTS.values()))
    raise UsageError(f"{source.title} has no known layout.\n  looked for: {looked_for}\n  found: {_contents(tree)}")


def _contents(tree: Tree, most: int = 12) -> str:
    """A few lines' worth of what stands in the first two levels of a source."""
    folders = sorted(f"{folder}/" for folder in tree.folders if folder and folder.count("/") < 2)
    files = sorted(join(folder, name) for folder in tree.files if "/" not in folder for name in tree.files[folder])
    found = folders + files
    more = f" and {len(found) - most} more" if len(found) > most else ""
    return (", ".join(found[:most]) + more) or "no files"
