"""Every layout, drawn as a tree of phantoms: what comes out, and how it is recognised."""

import io
import shutil
import zipfile
from collections import Counter

import pytest
from openpyxl import Workbook

from hub.dataset.open_source import open_source
from hub.dataset.relabel import apply_map
from hub.layouts.base import Record
from hub.layouts.registry import LAYOUTS, recognise
from space.errors import UsageError
from space.imaging.archives import Zip
from tests.phantoms import write_images


def read(folder, layout: str | None = None) -> tuple[str, list[Record]]:
    """Name of the recognised layout, and its records."""
    source = open_source(str(folder))
    found, root, tree = recognise(source, layout)
    return found.name, found.records(source, tree, root)


def by_class(records: list[Record]) -> dict:
    return dict(Counter((record.split, record.label) for record in records))


COVID19 = [f"{s}/{c}/0{i}.{e}" for s in ("train", "test") for c in ("Covid", "Normal", "Viral Pneumonia")
           for i, e in enumerate(("png", "jpg", "jpeg"))]  # fmt: skip
RADIOGRAPHY = ["COVID", "Lung_Opacity", "Normal", "Viral Pneumonia"]


def test_covid19_image_dataset(tmp_path):
    name, records = read(write_images(tmp_path, *(f"anything/{path}" for path in COVID19)))
    assert name == "covid19-image-dataset"
    assert set(by_class(records).values()) == {3}
    assert records[0].source == "train/Covid/00.png"
    assert {record.split for record in records} == {"train", "test"}


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


def test_covid_qu_ex_joins_both_trees_by_stem(tmp_path):
    name, records = read(qu_ex(tmp_path))
    assert name == "covid-qu-ex"
    assert by_class(records) == {
        (split, label): 2 for split in ("train", "validation", "test") for label in LAYOUTS[name].labels
    }
    masks = Counter(tuple(sorted(record.masks)) for record in records)
    assert masks == {("infection_mask", "lung_mask"): 9, (): 9}
    assert all(record.name.startswith("Lung") for record in records)


@pytest.mark.parametrize("gone", ["Lung Segmentation Data", "Infection Segmentation Data"])
def test_covid_qu_ex_with_one_tree_alone(tmp_path, gone):
    shutil.rmtree(qu_ex(tmp_path) / gone)
    name, records = read(tmp_path)
    assert name == "covid-qu-ex"
    assert len(records) == (9 if gone.startswith("Lung") else 18)


def radiography(folder):
    for label in RADIOGRAPHY:
        write_images(folder / "COVID-19_Radiography_Dataset", *(f"{label}/images/{label}-{i}.png" for i in (1, 2, 3)))
        write_images(folder / "COVID-19_Radiography_Dataset", f"{label}/masks/{label}-2.png", seed=1)
    book = Workbook()
    book.active.append(["FILE NAME", "FORMAT", "SIZE", "URL"])
    book.active.append(["NORMAL-1", "PNG", "256*256", "https://example.org/rsna"])
    book.save(folder / "COVID-19_Radiography_Dataset" / "Normal.metadata.xlsx")
    return folder


def test_covid19_radiography_database_with_masks_and_origins(tmp_path):
    name, records = read(radiography(tmp_path))
    assert name == "covid19-radiography-database"
    assert by_class(records) == {(None, label): 3 for label in RADIOGRAPHY}
    assert [record.source for record in records if record.masks] == [f"{c}/images/{c}-2.png" for c in RADIOGRAPHY]
    assert {record.source: record.facts["origin"] for record in records if record.facts["origin"]} == {
        "Normal/images/Normal-1.png": "https://example.org/rsna"
    }


def cut_sheet() -> bytes:
    """A sheet that is a zip, but whose XML ends too early."""
    book, cut = io.BytesIO(), io.BytesIO()
    Workbook().save(book)
    with zipfile.ZipFile(book) as whole, zipfile.ZipFile(cut, "w") as target:
        for name in whole.namelist():
            data = whole.read(name)
            target.writestr(name, data[: len(data) // 2] if "sheet1" in name else data)
    return cut.getvalue()


@pytest.mark.parametrize("content", [b"no sheet", b"PK\x03\x04", cut_sheet()], ids=["text", "magic", "cut"])
def test_a_metadata_sheet_that_is_none_is_a_clear_error(tmp_path, content):
    (radiography(tmp_path) / "COVID-19_Radiography_Dataset" / "COVID.metadata.xlsx").write_bytes(content)
    with pytest.raises(UsageError, match=r"COVID\.metadata\.xlsx is no sheet"):
        read(tmp_path)


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
    with pytest.raises(UsageError, match="Healthy"):
        read(rsna(tmp_path, "id-0,Healthy\n"))


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
        ("file_name,split\nill/1.png,holdout\n", "holdout"),
        (b"\xff\xfe\x00", "UTF-8"),
        ("file_name,patient\nill/1.png,Ann\nill/1.png,Ben\n", "two different things"),
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
    with pytest.raises(UsageError, match="stands inside"):
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


def test_classes_that_differ_by_case_alone_are_refused(tmp_path):
    write_images(tmp_path, "train/Normal/1.png", "train/ill/1.png", "test/normal/1.png", "test/ill/2.png")
    with pytest.raises(UsageError, match="differ by case"):
        apply_map(read(tmp_path)[1], LAYOUTS["image-folder"], {})


def test_headers_of_metadata_csv_are_read_generously_and_the_rest_is_named(tmp_path, capsys):
    write_images(tmp_path, "ill/1.png", "well/2.png")
    (tmp_path / "metadata.csv").write_text("File_Name, Patient_ID ,born\n./ill/1.png,Ann,1980\n")
    assert read(tmp_path)[1][0].patient == "Ann"
    assert "columns not used: born" in capsys.readouterr().out


def test_a_folder_without_masks_is_a_folder_of_images(tmp_path):
    write_images(tmp_path, "images-without-masks/ill/1.png", "images-without-masks/well/1.png")
    assert len(read(tmp_path)[1]) == 2


def test_flat_images_with_another_column_for_labels_are_told_what_to_name_it(tmp_path):
    write_images(tmp_path, "1.png", "2.png")
    (tmp_path / "metadata.csv").write_text("file_name,diagnosis\n1.png,ill\n2.png,well\n")
    with pytest.raises(UsageError, match="needs a column label"):
        read(tmp_path)


def test_folders_of_masks_are_never_images(tmp_path):
    write_images(tmp_path, "ill/1.png", "well/2.png", "masks/ill/1.png", "lung masks/2.png", "infection_mask/3.png")
    assert {record.source for record in read(tmp_path)[1]} == {"ill/1.png", "well/2.png"}


def test_two_possible_layouts_are_both_named_and_can_be_chosen(tmp_path):
    write_images(tmp_path, *(f"a/{path}" for path in COVID19))
    radiography(tmp_path / "b")
    with pytest.raises(UsageError) as caught:
        read(tmp_path)
    for words in ("covid19-image-dataset in a", "covid19-radiography-database in b", "--layout"):
        assert words in str(caught.value)
    assert read(tmp_path, "covid19-image-dataset")[0] == "covid19-image-dataset"
    assert len(read(tmp_path, "covid19-radiography-database")[1]) == 12


def test_the_same_layout_twice_side_by_side_is_refused(tmp_path):
    write_images(tmp_path, *(f"{top}/{path}" for top in "ab" for path in COVID19))
    with pytest.raises(UsageError, match=r"in a; .* in b"):
        read(tmp_path)


def test_a_zip_gives_the_same_records_as_its_folder(tmp_path):
    qu_ex(tmp_path / "in")
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for path in sorted((tmp_path / "in").rglob("*")):
            archive.write(path, path.relative_to(tmp_path / "in"))
    archive = Zip(tmp_path / "x.zip")
    found, root, tree = recognise(archive)
    assert found.records(archive, tree, root) == read(tmp_path / "in")[1]


@pytest.mark.parametrize("layout", list(LAYOUTS.values()), ids=list(LAYOUTS))
def test_every_layout_says_where_it_comes_from(layout):
    assert layout.citation and layout.license and layout.license_note and layout.patient_rule and layout.structure
    if layout.name != "image-folder":
        assert layout.slug.count("/") == 1
        assert layout.link.startswith("https://www.kaggle.com/")
        assert all(layout.labels.values())
        assert layout.problems
