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


def damaged_book() -> bytes:
    """An Excel file whose compressed parts cannot be inflated."""
    book = io.BytesIO()
    Workbook().save(book)
    content = bytearray(book.getvalue())
    with zipfile.ZipFile(book) as whole:
        for part in whole.infolist():
            start = part.header_offset + 30 + len(part.filename)
            content[start : start + 4] = b"\xff" * 4
    return bytes(content)


def bomb() -> bytes:
    """An Excel file of 300 kB that unpacks to 300 MB."""
    content = io.BytesIO(changed_book("none", bytes))
    with zipfile.ZipFile(content, "a", zipfile.ZIP_DEFLATED) as book:
        book.writestr("xl/sharedStrings.xml", bytes(300 * 10**6))
    return content.getvalue()


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
    "damaged": damaged_book(),
}


@pytest.mark.parametrize("content", SHEETS.values(), ids=SHEETS)
def test_a_metadata_sheet_that_is_none_is_a_clear_error(tmp_path, content):
    (radiography(tmp_path) / "COVID-19_Radiography_Dataset" / "COVID.metadata.xlsx").write_bytes(content)
    with pytest.raises(UsageError, match=r"COVID\.metadata\.xlsx is not an Excel sheet"):
        read(tmp_path)


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    def load(*args, **kwargs):
        raise AssertionError("unpacked")

    monkeypatch.setattr("openpyxl.load_workbook", load)
    (radiography(tmp_path) / "COVID-19_Radiography_Dataset" / "COVID.metadata.xlsx").write_bytes(bomb())
    with pytest.raises(UsageError, match=r"COVID\.metadata\.xlsx is not an Excel sheet"):
        read(tmp_path)
