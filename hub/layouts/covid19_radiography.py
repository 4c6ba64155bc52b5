"""The COVID-19 Radiography Database of Qatar University and the University of Dhaka."""

from pathlib import PurePosixPath
from typing import ClassVar

from hub.layouts.base import Layout, Record, Tree, join, relative
from hub.layouts.radiography_sheet import read_origins
from space.imaging.archives import Source


class Covid19RadiographyDatabase(Layout):
    """The Qatar and Dhaka universities' database: 21,165 images in four classes, with lung masks; no splits."""

    name = "covid19-radiography-database"
    slug = "tawsifurrahman/covid19-radiography-database"
    title = "COVID-19 Radiography Database"
    license = "other"
    license_note = (
        "'Data files (c) Original Authors', recalled from Kaggle, not verified; check before you redistribute"
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
        "reference": "the labels of the datasets that it was compiled from",
    }
    patient_rule = "File names say nothing about patients. New splits keep copies of an image together."
    problems = (
        "All of its Viral Pneumonia and 1,341 of its Normal images are training images of chest-xray-pneumonia "
        "(children), while COVID images show adults: age alone can decide. Neither dataset is an external test set for "
        "the other.",
        "Nothing is known about patients: any random split, ours included, may put one patient on both sides.",
    )
    columns: ClassVar = {"origin": "source of the image according to the dataset's metadata sheets, or null"}

    def fits(self, tree: Tree, root: str) -> bool:
        """Whether every class has a folder of images."""
        return all(tree.images(join(root, label, "images")) for label in self.labels)

    def records(self, source: Source, tree: Tree, root: str) -> list[Record]:
        """The images of every class, with mask and origin where there is one."""
        records = []
        for label in self.labels:
            origins = read_origins(source, join(root, f"{label}.metadata.xlsx"))
            for name in tree.images(join(root, label, "images")):
                stem = PurePosixPath(name).stem
                mask = join(root, label, "masks", f"{stem}.png")
                masks = {"lung_mask": mask} if mask in source.sizes else {}
                facts = {"origin": origins.get(stem.lower())}
                records.append(Record(name, relative(name, root), None, label, facts=facts, masks=masks))
        return records
