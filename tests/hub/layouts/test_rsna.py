"""The RSNA challenge: DICOM files whose classes stand in a table."""

import shutil

import pytest

from space.errors import UsageError
from tests.hub.layouts.trees import read
from tests.phantoms import write_images


def rsna(folder, rows: str):
    for i in range(4):
        write_images(folder / "stage_2_train_images", f"id-{i}.png").joinpath(f"id-{i}.png").rename(
            folder / "stage_2_train_images" / f"id-{i}.dcm"
        )
    (folder / "stage_2_test_images").mkdir()
    shutil.copy(folder / "stage_2_train_images" / "id-0.dcm", folder / "stage_2_test_images" / "id-9.dcm")
    (folder / "stage_2_detailed_class_info.csv").write_text("patientId,class\n" + rows)
    return folder


def test_rsna_takes_labelled_files_once_and_knows_no_patients(tmp_path):
    rows = "id-0,Normal\nid-1,Lung Opacity\nid-1,Lung Opacity\nid-2,No Lung Opacity / Not Normal\nid-7,Normal\n"
    name, records = read(rsna(tmp_path, rows))
    assert name == "rsna-pneumonia-detection-challenge"
    assert [(record.source[-8:], record.label) for record in records] == [
        ("id-0.dcm", "Normal"), ("id-1.dcm", "Lung Opacity"), ("id-2.dcm", "No Lung Opacity / Not Normal"),
    ]  # fmt: skip
    assert {record.patient for record in records} == {None}


def test_rsna_with_two_classes_for_one_image_is_refused(tmp_path):
    with pytest.raises(UsageError, match="id-0 two classes"):
        read(rsna(tmp_path, "id-0,Normal\nid-0,Lung Opacity\n"))


def test_rsna_with_an_unknown_class_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"^stage_2_detailed_class_info\.csv gives id-0 the class Healthy"):
        read(rsna(tmp_path, "id-0,Healthy\n"))


def test_rsnas_boxes_are_read(tmp_path):
    folder = rsna(tmp_path, "id-0,Normal\nid-1,Lung Opacity\n")
    (folder / "stage_2_train_labels.csv").write_text(
        "patientId,x,y,width,height,Target\nid-0,,,,,0\nid-1,10,20,30,40,1\nid-1,90.0,20.0,30.0,40.0,1\n"
    )
    assert [record.boxes for record in read(folder)[1]] == [(), ((10, 20, 30, 40), (90, 20, 30, 40))]
