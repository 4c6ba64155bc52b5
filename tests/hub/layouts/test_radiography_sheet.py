"""The metadata sheets of the Radiography Database."""

import io
import zipfile

import pytest
from openpyxl import Workbook

from space.errors import UsageError
from tests.hub.layouts.trees import radiography, read


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
    with pytest.raises(UsageError, match=r"COVID\.metadata\.xlsx is not an Excel sheet"):
        read(tmp_path)
