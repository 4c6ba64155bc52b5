"""Tables that lie beside the images of a source."""

import pytest

from hub.layouts.tables import read_boxes, read_table
from space.errors import UsageError
from space.imaging.archives import Folder


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        (b'a,b\n1,"x,y"\n', [["a", "b"], ["1", "x,y"]]),
        (b"\xef\xbb\xbfa,b\r\n", [["a", "b"]]),  # as Excel writes it
        (b"", []),
        (b"\xff\xfe\x00", None),
    ],
)
def test_a_table_is_its_rows_or_none(tmp_path, content, rows):
    (tmp_path / "x.csv").write_bytes(content)
    assert read_table(Folder(tmp_path), "x.csv") == rows


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("image,x,y,width\n", "no height"),
        ("name,x,y,width,height\n", "no image"),
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
