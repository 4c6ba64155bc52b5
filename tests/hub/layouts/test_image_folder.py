"""Any tree of class folders, with or without metadata.csv."""

import pytest

from space.errors import UsageError
from tests.hub.layouts.trees import by_class, read
from tests.phantoms import write_images


def test_an_image_folder_with_split_aliases(tmp_path):
    names = [f"{s}/{c}/{i}.png" for s in ("Training", "dev", "TESTING") for c in ("ill", "well") for i in range(2)]
    name, records = read(write_images(tmp_path, *names))
    assert name == "image-folder"
    assert by_class(records) == {(s, c): 2 for s in ("train", "validation", "test") for c in ("ill", "well")}


def test_an_image_folder_without_splits_inside_wrappers(tmp_path):
    names = ["data/set/ill/1.png", "data/set/ill/patient 7/2.PNG", "data/set/well/a/b/3.jpg"]
    write_images(tmp_path, *names)
    (tmp_path / "data" / "set" / "readme.txt").write_text("hello")
    name, records = read(tmp_path)
    assert name == "image-folder"
    assert by_class(records) == {(None, "ill"): 2, (None, "well"): 1}
    assert [record.group for record in records] == [None, "patient 7", "a/b"]


def test_metadata_csv_has_the_last_word_and_other_columns_are_not_read(tmp_path):
    write_images(tmp_path, "ill/1.png", "ill/2.png", "well/3.png")
    (tmp_path / "metadata.csv").write_text(
        "file_name,patient,label,split,view,born\nill/1.png,Ann,well,test,PA,1980\nwell/3.png,Ben,,,,1990\n"
    )
    _, records = read(tmp_path)
    first, second, third = records
    assert (first.label, first.split, first.patient, first.facts["view"]) == ("well", "test", "Ann", "PA")
    assert (second.label, second.patient, second.group) == ("ill", None, None)
    assert (third.label, third.patient) == ("well", "Ben")
    assert not any("19" in str(value) for record in records for value in record.facts.values())


def test_flat_images_with_labels_from_metadata_csv(tmp_path):
    write_images(tmp_path, "1.png", "2.png")
    (tmp_path / "metadata.csv").write_text("file_name,label\n1.png,ill\n2.png,well\n")
    assert by_class(read(tmp_path)[1]) == {(None, "ill"): 1, (None, "well"): 1}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name,label\nill/1.png,x\n", "needs a column file_name"),
        ("file_name\nill/9.png\n", "ill/9.png"),
        ("file_name,label,Label\nill/1.png,x,\n", "more than one column label"),
        ("label,file_name\nill\n", "names '', which does not exist"),
        ("file_name,split\nill/1.png,holdout\n", "holdout"),
        (b"\xff\xfe\x00", "cannot be read as a table"),
        ("file_name|label\nill/1.png|x\n", "needs a column file_name. It was read as UTF-8 with commas"),
        ("file_name,patient\nill/1.png,Ann\nill/1.png,Ben\n", "two different rows"),
    ],
)
def test_a_metadata_csv_that_cannot_be_used_is_a_clear_error(tmp_path, text, says):
    write_images(tmp_path, "ill/1.png", "well/2.png")
    (tmp_path / "metadata.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UsageError, match=says):
        read(tmp_path)


def test_split_and_class_folders_mixed_are_refused(tmp_path):
    write_images(tmp_path, "train/ill/1.png", "train/well/1.png", "odd/2.png")
    with pytest.raises(UsageError, match="odd"):
        read(tmp_path)


@pytest.mark.parametrize(
    "names",
    [["ill/train/1.png", "well/test/2.png"], ["x/train/ill/1.png", "docs/fig.png"], ["a/test/1.png", "b/1.png"]],
)
def test_split_folders_inside_others_are_refused_and_never_hidden(tmp_path, names):
    with pytest.raises(UsageError, match="lies inside"):
        read(write_images(tmp_path, *names))


def test_a_tree_inside_itself_is_left_out(tmp_path):
    names = [f"{s}/{c}/{i}.png" for s in ("train", "test") for c in ("ill", "well") for i in range(2)]
    write_images(tmp_path, *(f"set/{name}" for name in names), *(f"set/set/{name}" for name in names))
    assert len(read(tmp_path)[1]) == 8


def test_one_folder_of_images_in_every_class_is_no_patient(tmp_path):
    write_images(tmp_path, *(f"{c}/images/{i}.png" for c in ("ill", "well") for i in range(3)), "ill/masks/0.png")
    records = read(tmp_path)[1]
    assert len(records) == 6
    assert {record.group for record in records} == {None}


def test_headers_of_metadata_csv_are_read_generously_and_the_rest_is_named(tmp_path, capsys):
    write_images(tmp_path, "ill/1.png", "well/2.png")
    (tmp_path / "metadata.csv").write_text("File_Name, Patient_ID ,born\n./ill/1.png,Ann,1980\n")
    assert read(tmp_path)[1][0].patient == "Ann"
    assert "ignored columns: born" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("header", "row", "patient", "unused"),
    [
        ("patient,patient_id", "Ann,", "Ann", []),
        ("patient_id,patient", "Ann,", "Ann", []),
        ("subject_id,patient", "7,Ann", "Ann", ["subject_id"]),
        ("Case No,MRN,Patient Age", "7,8,9", None, ["case no", "mrn"]),
    ],
)
def test_the_filled_patient_column_counts_and_others_that_may_name_patients_are_named(
    tmp_path, capsys, header, row, patient, unused
):
    write_images(tmp_path, "ill/1.png", "well/2.png")
    (tmp_path / "metadata.csv").write_text(f"file_name,{header}\nwell/2.png\nill/1.png,{row}\n")
    assert read(tmp_path)[1][0].patient == patient
    warnings = [line for line in capsys.readouterr().out.splitlines() if line.startswith("warning: ")]
    assert [line.split("the column ")[1].split(" may name patients")[0] for line in warnings] == unused


def test_boxes_of_images_come_from_boxes_csv(tmp_path):
    write_images(tmp_path, "train/ill/1.png", "train/well/2.png", "test/ill/3.png", "test/well/4.png")
    (tmp_path / "boxes.csv").write_text(
        "file_name,x,y,width,height\ntrain/ill/1.png,5,6.5,20,30\n./train/ill/1.png, 40,50,10,10\n"
        "train/well/2.png,,,,\n"
    )
    (tmp_path / "test" / "opacity_boxes.csv").write_text("X,Y,Width,Height,File_Name\n0,1,2,3,ill/3.png\n")
    boxes = {record.source: record.boxes for record in read(tmp_path)[1]}
    assert boxes == {
        "train/ill/1.png": ((5, 6.5, 20, 30), (40, 50, 10, 10)), "test/ill/3.png": ((0, 1, 2, 3),),
        "train/well/2.png": (), "test/well/4.png": (),
    }  # fmt: skip


def test_a_box_of_an_image_that_is_not_there_is_an_error(tmp_path):
    write_images(tmp_path, "ill/1.png", "well/2.png")
    (tmp_path / "boxes.csv").write_text("file_name,x,y,width,height\nill/9.png,5,6,20,30\n")
    with pytest.raises(UsageError, match=r"boxes\.csv names 'ill/9\.png', which does not exist"):
        read(tmp_path)


def test_a_folder_without_masks_is_a_folder_of_images(tmp_path):
    write_images(tmp_path, "images-without-masks/ill/1.png", "images-without-masks/well/1.png")
    assert len(read(tmp_path)[1]) == 2


def test_flat_images_with_another_column_for_labels_are_told_what_to_name_it(tmp_path):
    write_images(tmp_path, "1.png", "2.png")
    (tmp_path / "metadata.csv").write_text("file_name,diagnosis\n1.png,ill\n2.png,well\n")
    with pytest.raises(UsageError, match="Add a column label"):
        read(tmp_path)
