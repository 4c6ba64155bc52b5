"""COVID-QU-Ex of Qatar University."""

from pathlib import PurePosixPath
from typing import ClassVar

from hub.layouts.base import Layout, Record, Tree, join, relative
from space.imaging.archives import Source


class CovidQuEx(Layout):
    """COVID-QU-Ex: 33,920 images with lung masks, of which 5,826 have infection masks; two trees that overlap."""

    name = "covid-qu-ex"
    slug = "anasmohammedtahir/covidqu"
    title = "COVID-QU-Ex Dataset"
    license = "cc-by-sa-4.0"
    license_note = "recalled from Kaggle, not verified; check before you redistribute"
    license_checked = False
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
        "population": "children and adults from many sources, mixed differently in each class",
        "reference": "the labels of the datasets that it was compiled from",
    }
    patient_rule = (
        "File names say nothing about patients. An image found in both trees (same class and file name) becomes one "
        "row, in the split of the larger tree."
    )
    problems = (
        "The dataset is compiled from many public ones, including chest-xray-pneumonia and "
        "covid19-radiography-database: none of these is an external test set for it.",
        "The classes come from sources with different ages and devices, which alone can give the class away.",
    )
    mask_columns: ClassVar = {"infection_mask": "mask of the infected region (all black for other classes), or null"}
    splits: ClassVar = {"Train": "train", "Val": "validation", "Test": "test"}
    masks: ClassVar = {"lung_mask": "lung masks", "infection_mask": "infection masks"}

    def fits(self, tree: Tree, root: str) -> bool:
        """Whether below this folder lie one or both trees, and nothing but them, two levels deep at most."""
        return bool(self._trees(tree, root))

    def _trees(self, tree: Tree, root: str) -> list[str]:
        """The trees below `root`, the one with more images first."""
        images = (f for f in tree.named.get("images", ()) if f.startswith(f"{root}/" if root else ""))
        starts = {"/".join(f.split("/")[:-3]) for f in images if f.count("/") >= 2}  # …/{split}/{class}/images
        depths = {f: relative(f, root).count("/") + 1 if f != root else 0 for f in starts}
        counts = {f: n for f in starts if depths[f] <= 2 and (n := self._count(tree, f))}
        return sorted(counts, key=lambda folder: (-counts[folder], folder))

    def _count(self, tree: Tree, folder: str) -> int:
        """Images in the one tree that starts at `folder`; 0 if no split of it has all three classes."""
        counts = [
            [len(tree.images(join(folder, split, label, "images"))) for label in self.labels] for split in self.splits
        ]
        return sum(map(sum, counts)) if any(map(all, counts)) else 0

    def records(self, source: Source, tree: Tree, root: str) -> list[Record]:
        """The images of both trees, each once, with the masks that either tree has for them."""
        names: dict[tuple[str, str], tuple[str, str]] = {}
        masks: dict[tuple[str, str], dict[str, str]] = {}
        for folder in self._trees(tree, root):
            for part, split in self.splits.items():
                for label in self.labels:
                    here = join(folder, part, label)
                    for name in tree.images(join(here, "images")):
                        key = (label, PurePosixPath(name).stem)
                        names.setdefault(key, (name, split))
                        own = {c: join(here, sub, f"{key[1]}.png") for c, sub in self.masks.items()}
                        there = {column: mask for column, mask in own.items() if mask in source.sizes}
                        masks[key] = there | masks.get(key, {})
        return [
            Record(name, relative(name, root), split, key[0], masks=masks[key]) for key, (name, split) in names.items()
        ]
