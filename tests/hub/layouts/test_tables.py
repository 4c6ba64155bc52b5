"""Tables that lie beside the images of a source."""

import pytest

from hub.layouts.tables import read_table
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
