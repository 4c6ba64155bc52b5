"""The metadata sheets of the Radiography Database."""

import io
import zipfile
from collections.abc import Callable

import pytest
from openpyxl import Workbook

from space.errors import UsageError
from tests.hub.layouts.trees import radiography, read


def changed_book(member: str, change: Callable[[bytes], bytes]) -> bytes:
    """An empty Excel file, one part of which was changed."""
    book, changed = io.BytesIO(), io.BytesIO()
    Workbook().save(book)
    with zipfile.ZipFile(book) as whole, zipfile.ZipFile(changed, "w") as target:
        for name in whole.namelist():
            data = whole.read(name)
            target.writestr(name, change(data) if name.endswith(member) else data)
    return changed.getvalue()


def chart() -> bytes:
    """An Excel file that holds a chart alone."""
    book, content = Workbook(), io.BytesIO()
    book.create_chartsheet()
    del book["Sheet"]
    book.save(content)
    return content.getvalue()


SHEETS = {
    "text": b"no sheet",
    "magic": b"PK\x03\x04",
    "cut": changed_book("sheet1.xml", lambda data: data[: len(data) // 2]),
    "odd attribute": changed_book("workbook.xml", lambda data: data.replace(b"tabRatio", b"tabRation")),
    "chart": chart(),
}


@pytest.mark.parametrize("content", SHEETS.values(), ids=SHEETS)
def test_a_metadata_sheet_that_is_none_is_a_clear_error(tmp_path, content):
    (radiography(tmp_path) / "COVID-19_Radiography_Dataset" / "COVID.metadata.xlsx").write_bytes(content)
    with pytest.raises(UsageError, match=r"COVID\.metadata\.xlsx is not an Excel sheet"):
        read(tmp_path)
