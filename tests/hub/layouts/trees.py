"""Layouts drawn as trees of phantoms, and read."""

from collections import Counter

from openpyxl import Workbook

from hub.dataset.open_source import open_source
from hub.layouts.base import Record
from hub.layouts.registry import recognise
from tests.phantoms import write_images


def read(folder, layout: str | None = None) -> tuple[str, list[Record]]:
    """Name of the recognised layout, and its records."""
    source = open_source(str(folder))
    recognised, root, tree = recognise(source, layout)
    return recognised.name, recognised.records(source, tree, root)


def by_class(records: list[Record]) -> dict:
    return dict(Counter((record.split, record.label) for record in records))


COVID19 = [f"{s}/{c}/0{i}.{e}" for s in ("train", "test") for c in ("Covid", "Normal", "Viral Pneumonia")
           for i, e in enumerate(("png", "jpg", "jpeg"))]  # fmt: skip


RADIOGRAPHY = ["COVID", "Lung_Opacity", "Normal", "Viral Pneumonia"]


def qu_ex(folder):
    """Both trees: 2 images a class and split in the larger, the first of which stands in the smaller too."""
    for split in ("Train", "Val", "Test"):
        for label in ("COVID-19", "Non-COVID", "Normal"):
            lung = f"Lung Segmentation Data/Lung Segmentation Data/{split}/{label}"
            infection = f"Infection Segmentation Data/Infection Segmentation Data/{split}/{label}"
            stem = f"{label} ({split})"
            write_images(folder, f"{lung}/images/{stem}.png", f"{lung}/lung masks/{stem}.png")
            write_images(folder, f"{lung}/images/{stem} 2.png", f"{infection}/images/{stem}.png")
            write_images(folder, f"{infection}/lung masks/{stem}.png", f"{infection}/infection masks/{stem}.png")
    return folder


def radiography(folder):
    for label in RADIOGRAPHY:
        write_images(folder / "COVID-19_Radiography_Dataset", *(f"{label}/images/{label}-{i}.png" for i in (1, 2, 3)))
        write_images(folder / "COVID-19_Radiography_Dataset", f"{label}/masks/{label}-2.png", seed=1)
    book = Workbook()
    book.active.append(["FILE NAME", "FORMAT", "SIZE", "URL"])
    book.active.append(["NORMAL-1", "PNG", "256*256", "https://example.org/rsna"])
    book.save(folder / "COVID-19_Radiography_Dataset" / "Normal.metadata.xlsx")
    return folder
