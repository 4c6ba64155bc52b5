"""Raikote's small COVID-19 dataset."""

from typing import ClassVar

from hub.layouts.base import SplitFolders


class Covid19ImageDataset(SplitFolders):
    """Raikote's 317 images: COVID-19, viral pneumonia, normal."""

    name = "covid19-image-dataset"
    slug = "pranavraikokte/covid19-image-dataset"
    title = "Covid-19 Image Dataset"
    license = "cc-by-sa-4.0"
    license_note = (
        "recalled from Kaggle, not verified; each COVID-19 image has a licence of its own in the COVID-19 "
        "image data collection. Check before you redistribute"
    )
    license_checked = False
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
        "reference": "the labels given by the publications, web pages and datasets that the images come from",
    }
    patient_rule = "File names say nothing about patients. New splits keep copies of an image together."
    problems = (
        "COVID-19 images show adults and all others show children: age and body size give the class away.",
        "As published, some test images of class Covid are also in train.",
        "Most Normal and Viral Pneumonia images are contrast-enhanced copies of test images of "
        "chest-xray-pneumonia: neither dataset is an external test set for a model trained on the other.",
        "30 of the 90 Viral Pneumonia images (17 of the 20 in test) are copies of images that chest-xray-pneumonia "
        "labels bacterial. One image of class Covid (`train/Covid/COVID-00020.jpg`) is, there, a child with viral "
        "pneumonia.",
        "317 images are few: intervals are wide, and a difference of a few points between models means nothing.",
    )
    splits: ClassVar = {"train": "train", "test": "test"}
