"""The two datasets of Qatar University: COVID-QU-Ex and the COVID-19 Radiography Database."""

from pathlib import PurePosixPath
from typing import ClassVar

from hub.layout import Layout, Record, Tree, join, relative
from hub.radiography_sheet import read_origins
from train.sources import Source


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
    about: ClassVar = {
        "population": "children and adults of many sources, differently mixed in each class",
        "reference": "what the datasets say that it was put together from",
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
    about: ClassVar = {
        "population": "COVID and Lung_Opacity: adults; Viral Pneumonia: children; Normal: both",
        "reference": "what the datasets say that it was put together from",
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
