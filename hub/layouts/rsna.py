"""The RSNA Pneumonia Detection Challenge: DICOM files whose classes are in a table."""

from pathlib import PurePosixPath
from typing import ClassVar

from hub.layouts.base import Box, Layout, Record, Tree, join, relative
from hub.layouts.tables import read_boxes, read_table
from space.errors import UsageError
from space.imaging.archives import Source


class RsnaPneumonia(Layout):
    """The RSNA Pneumonia Detection Challenge: 26,684 labelled DICOM files, drawn from NIH ChestX-ray8."""

    name = "rsna-pneumonia-detection-challenge"
    slug = "competitions/rsna-pneumonia-detection-challenge"
    title = "RSNA Pneumonia Detection Challenge"
    license = "other"
    license_note = (
        "free for academic research and education and other purposes, with attribution (stated by the publisher)"
    )
    citation = (
        "Shih G et al. Augmenting the National Institutes of Health Chest Radiograph Dataset with Expert Annotations "
        "of Possible Pneumonia. Radiology: Artificial Intelligence 1(1), 2019; Wang X et al. ChestX-ray8. CVPR 2017; "
        "NIH Clinical Center."
    )
    structure = "stage_*_detailed_class_info.csv beside stage_*_train_images/*.dcm"
    labels: ClassVar = {
        "Normal": "no finding",
        "No Lung Opacity / Not Normal": "a finding, but none that suggests pneumonia",
        "Lung Opacity": "an opacity that suggests pneumonia",
    }
    about: ClassVar = {
        "population": "a selection of NIH ChestX-ray8, one hospital",
        "acquisition": "posterior-anterior and portable anterior-posterior views",
        "reference": "the radiograph itself, read again by radiologists (Shih et al., 2019)",
    }
    patient_rule = (
        "`patientId` in the tables is the name of an image, not of a person: nothing is known about patients. New "
        "splits keep copies of an image together."
    )
    problems = (
        "Several images of one person occur under different names: any split, ours included, may put one person on "
        "both sides.",
        "Labels are opinions on single images. Portable (AP) images show sicker people than PA images.",
    )
    columns: ClassVar = {"view": "view position (PA or AP) from the DICOM file"}
    private = True

    def fits(self, tree: Tree, root: str) -> bool:
        """Whether the table of classes lies beside folders of DICOM files."""
        if not self._tables(tree, root):
            return False
        folders = (join(root, child) for child in tree.children(root))
        return any(name.endswith(".dcm") for folder in folders for name in tree.images(folder))

    def _tables(self, tree: Tree, root: str) -> list[str]:
        return [join(root, n) for n in tree.files.get(root, ()) if n.endswith("_detailed_class_info.csv")]

    def records(self, source: Source, tree: Tree, root: str) -> list[Record]:
        """The images that the table names; those without a label (the challenge's own test set) are left out.

        Raises:
            UsageError: A table cannot be read, or names a class that is not one of the three.
        """
        classes: dict[str, str] = {}
        for name in self._tables(tree, root):
            table = read_table(source, name)
            if not {"patientId", "class"} <= set(table.header):
                raise UsageError(f"{name} needs the columns patientId and class. It was read as {table.reading}.")
            for row in (dict(zip(table.header, cells, strict=False)) for cells in table.rows if cells):
                image, label = row.get("patientId"), row.get("class")
                if label not in self.labels:
                    allowed = ", ".join(self.labels)
                    raise UsageError(f"{name} gives {image} the class {label}, which is unknown. Allowed: {allowed}.")
                if classes.setdefault(image, label) != label:
                    raise UsageError(f"{name} gives {image} two classes.")
        names = (name for child in tree.children(root) for name in tree.images(join(root, child)))
        stems = ((name, PurePosixPath(name).stem) for name in names)
        boxes = self._boxes(source, tree, root)
        return [
            Record(name, relative(name, root), None, classes[stem], boxes=tuple(boxes.get(stem, ())))
            for name, stem in stems
            if stem in classes
        ]

    def _boxes(self, source: Source, tree: Tree, root: str) -> dict[str, list[Box]]:
        """{image: boxes around its opacities}; a table for each stage of the challenge, the later one counts."""
        tables = sorted(name for name in tree.files.get(root, ()) if name.endswith("_train_labels.csv"))
        return {image: drawn for t in tables for image, drawn in read_boxes(source, join(root, t), "patientId").items()}
