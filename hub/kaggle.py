"""Kaggle chest X-ray layouts: where pictures, splits, labels, masks and patients stand in each."""

import re
from pathlib import PurePosixPath
from typing import ClassVar

from hub.image_folder import ImageFolder
from hub.layout import Layout, Record, SplitFolders, Tree, join, relative
from hub.radiography_sheet import read_origins
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
        "PNEUMONIA": "bacterial or viral pneumonia, as graded by two physicians and checked by a third",
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


class CovidQuEx(Layout):
    """COVID-QU-Ex: 33,920 pictures with lung masks, of which 5,826 have infection masks; two trees that overlap."""

    name = "covid-qu-ex"
    slug = "anasmohammedtahir/covidqu"
    title = "COVID-QU-Ex Dataset"
    license = "cc-by-sa-4.0"
    license_note = "as remembered from the Kaggle page; check before you redistribute"
    citation = (
        "Tahir AM, Chowdhury MEH, Qiblawey Y, Khandakar A, Rahman T, et al. COVID-QU-Ex Dataset, Kaggle, 2021; Tahir "
        "AM et al. COVID-19 infection localization and severity grading from chest X-ray images. Computers in Biology "
        "and Medicine 139, 2021."
    )
    structure = (
        "{Lung,Infection} Segmentation Data/…/{Train,Val,Test}/{COVID-19,Non-COVID,Normal}/"
        "{images,lung masks,infection masks}"
    )
    labels: ClassVar = {
        "COVID-19": "COVID-19",
        "Non-COVID": "another lung infection, viral or bacterial",
        "Normal": "no finding",
    }
    patient_rule = (
        "File names say nothing about patients. A picture that stands in both trees (same class and file name) is one "
        "row, in the split of the larger tree."
    )
    problems = (
        "The set is put together from many public ones, chest-xray-pneumonia and covid19-radiography-database among "
        "them: none of these can be an external test for it.",
        "Classes come from different sources with different ages and devices, which alone can give the class away.",
    )
    mask_columns: ClassVar = {"infection_mask": "mask of the infected region (all black for other classes), or null"}
    splits: ClassVar = {"Train": "train", "Val": "validation", "Test": "test"}
    masks: ClassVar = {"lung_mask": "lung masks", "infection_mask": "infection masks"}

    def fits(self, tree: Tree, root: str) -> bool:
        """Whether below this folder lie one or both trees, and nothing but them, two levels deep at most."""
        return bool(self._trees(tree, root))

    def _trees(self, tree: Tree, root: str) -> list[str]:
        """The trees below `root`, the one with more pictures first."""
        images = (f for f in tree.named.get("images", ()) if f.startswith(f"{root}/" if root else ""))
        starts = {"/".join(f.split("/")[:-3]) for f in images if f.count("/") >= 2}  # …/{split}/{class}/images
        depths = {f: relative(f, root).count("/") + 1 if f != root else 0 for f in starts}
        found = {f: n for f in starts if depths[f] <= 2 and (n := self._count(tree, f))}
        return sorted(found, key=lambda folder: (-found[folder], folder))

    def _count(self, tree: Tree, folder: str) -> int:
        """Pictures in the one tree that starts at `folder`; 0 if no split of it has all three classes."""
        counts = [
            [len(tree.pictures(join(folder, split, label, "images"))) for label in self.labels] for split in self.splits
        ]
        return sum(map(sum, counts)) if any(map(all, counts)) else 0

    def records(self, source: Source, tree: Tree, root: str) -> list[Record]:
        """The pictures of both trees, each once, with the masks that either tree has for them."""
        names: dict[tuple[str, str], tuple[str, str]] = {}
        masks: dict[tuple[str, str], dict[str, str]] = {}
        for folder in self._trees(tree, root):
            for part, split in self.splits.items():
                for label in self.labels:
                    here = join(folder, part, label)
                    for name in tree.pictures(join(here, "images")):
                        key = (label, PurePosixPath(name).stem)
                        names.setdefault(key, (name, split))
                        own = {c: join(here, sub, f"{key[1]}.png") for c, sub in self.masks.items()}
                        found = {column: mask for column, mask in own.items() if mask in source.sizes}
                        masks[key] = found | masks.get(key, {})
        return [
            Record(name, relative(name, root), split, key[0], masks=masks[key]) for key, (name, split) in names.items()
        ]


class Covid19RadiographyDatabase(Layout):
    """The Qatar and Dhaka universities' database: 21,165 pictures in four classes, with lung masks; no splits."""

    name = "covid19-radiography-database"
    slug = "tawsifurrahman/covid19-radiography-database"
    title = "COVID-19 Radiography Database"
    license = "other"
    license_note = (
        "'Data files (c) Original Authors', as remembered from the Kaggle page; check before you redistribute"
    )
    citation = (
        "Chowdhury MEH et al. Can AI help in screening viral and COVID-19 pneumonia? IEEE Access 8, 2020, "
        "132665-132676, doi:10.1109/ACCESS.2020.3010287; Rahman T et al. Exploring the effect of image enhancement "
        "techniques on COVID-19 detection using chest X-ray images. Computers in Biology and Medicine 132, 2021."
    )
    structure = "[COVID-19_Radiography_Dataset/]{COVID,Lung_Opacity,Normal,Viral Pneumonia}/{images,masks}"
    labels: ClassVar = {
        "COVID": "COVID-19; adults",
        "Lung_Opacity": "lung opacity that is not COVID-19; adults",
        "Normal": "no finding; children and adults",
        "Viral Pneumonia": "viral pneumonia other than COVID-19; children",
    }
    patient_rule = "File names say nothing about patients; copies of one picture are kept together by new splits."
    problems = (
        "All of its Viral Pneumonia and 1,341 of its Normal pictures are training pictures of chest-xray-pneumonia "
        "(children), while COVID is adult: a classifier can win by age, and neither set is an external test for the "
        "other.",
        "Nothing is known about patients: a random split, also ours, may have one patient on both sides.",
    )
    columns: ClassVar = {"origin": "where the picture comes from, as the dataset's metadata sheets state it, or null"}

    def fits(self, tree: Tree, root: str) -> bool:
        """Whether every class has a folder of images."""
        return all(tree.pictures(join(root, label, "images")) for label in self.labels)

    def records(self, source: Source, tree: Tree, root: str) -> list[Record]:
        """The pictures of every class, with mask and origin where there is one."""
        found = []
        for label in self.labels:
            origins = read_origins(source, join(root, f"{label}.metadata.xlsx"))
            for name in tree.pictures(join(root, label, "images")):
                stem = PurePosixPath(name).stem
                mask = join(root, label, "masks", f"{stem}.png")
                masks = {"lung_mask": mask} if mask in source.sizes else {}
                facts = {"origin": origins.get(stem.lower())}
                found.append(Record(name, relative(name, root), None, label, facts=facts, masks=masks))
        return found


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
