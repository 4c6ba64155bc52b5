"""Tables that lie beside the images of a source."""

import csv

import pytest

from hub.layouts.tables import read_boxes, read_table
from space.errors import UsageError
from space.imaging.archives import Folder

ROWS = [["file_name", "patient"], ["ill/1.png", "Иванова, Анна"]]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1251"])
def test_tables_of_spreadsheets_are_read_in_every_encoding_with_every_delimiter(tmp_path, capsys, delimiter, encoding):
    with (tmp_path / "x.csv").open("w", encoding=encoding, newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows(ROWS)
    table = read_table(Folder(tmp_path), "x.csv")
    assert [table.header, *table.rows] == ROWS
    assert ("was read as cp1251" in capsys.readouterr().out) == (encoding == "cp1251")


def test_western_letters_alone_are_cp1252(tmp_path):
    (tmp_path / "x.csv").write_bytes("a;b\rMüller;Noël\r".encode("cp1252"))  # with line ends of old Macs
    assert read_table(Folder(tmp_path), "x.csv").rows == [["Müller", "Noël"]]


def test_an_empty_table_has_no_columns_and_a_damaged_one_is_an_error(tmp_path):
    (tmp_path / "x.csv").write_bytes(b"")
    assert read_table(Folder(tmp_path), "x.csv").header == []
    (tmp_path / "x.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match=r"x\.csv cannot be read as a table: 'utf-16.* Save it as CSV in UTF-8"):
        read_table(Folder(tmp_path), "x.csv")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("image,x,y,width\n", "no height.*UTF-8 with commas"),
        ("name;x;y;width;height\n", "no image.*UTF-8 with semicolons"),
        ("", "no image"),
        ("image,x,y,width,height\na.png,1,2,3,4\na.png,1,2,3\n", "line 3: 1, 2, 3,  is no box"),
        ("image,x,y,width,height\na.png,1,2,3,four\n", "line 2: 1, 2, 3, four is no box"),
        ("image,x,y,width,height\na.png,1,2,0,4\n", "above 0"),
        ("image,x,y,width,height\na.png,-1,2,3,4\n", "is no box"),
        ("image,x,y,width,height\na.png,1,nan,3,4\n", "is no box"),
        ("image,x,y,width,height\na.png,1,2,inf,4\n", "is no box"),
    ],
)
def test_a_table_of_boxes_that_cannot_be_used_is_a_clear_error(tmp_path, content, problem):
    (tmp_path / "x.csv").write_text(content)
    with pytest.raises(UsageError, match=problem):
        read_boxes(Folder(tmp_path), "x.csv", "image")
