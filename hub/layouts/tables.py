"""CSV tables that lie beside the images of a source, as spreadsheets write them in any country."""

import codecs
import csv
import io
import math
import re
from dataclasses import dataclass

from hub.layouts.base import Box
from space.errors import UsageError, XrayError
from space.imaging.archives import Source

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs"}
# Letters of a Cyrillic word are all beyond ASCII; in western languages two in a row are rare.
CYRILLIC_WORD = re.compile(rb"[\xc0-\xff]{3}")


@dataclass(frozen=True)
class Table:
    """A table of texts.

    Attributes:
        header: The first line, without spaces around its cells; empty where the file is.
        rows: The other lines, empty ones too.
        reading: How the file was read, for messages: its encoding and what separates its cells.
    """

    header: list[str]
    rows: list[list[str]]
    reading: str


def read_table(source: Source, name: str) -> Table:
    """Read a CSV file in UTF-8, UTF-16, cp1251 or cp1252, with commas, semicolons or tabs between its cells.

    Only a file in UTF-8 or UTF-16 tells its encoding; a note says which other one was taken.

    Raises:
        UsageError: It cannot be read.
    """
    try:
        text, encoding = _decoded(source.read(name))
        lines = io.StringIO(text, newline=None)
        first = lines.readline()
        delimiter = max(DELIMITERS, key=first.count)
        lines.seek(0)
        rows = list(csv.reader(lines, delimiter=delimiter))
    except XrayError as error:
        raise UsageError(f"{name}: {error}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(
            f"{name} cannot be read as a table: {error}. Save it as CSV in UTF-8, with commas between the cells."
        ) from None
    if encoding.startswith("cp"):
        print(f"note: {name} is not in UTF-8 and was read as {encoding}; check that its names are right")
    header = [cell.strip() for cell in rows[0]] if rows else []
    return Table(header, rows[1:], f"{encoding} with {DELIMITERS[delimiter]} between the cells")


def _decoded(data: bytes) -> tuple[str, str]:
    """The text of a file, and its encoding."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16"), "UTF-16"
    try:
        return data.decode("utf-8-sig"), "UTF-8"
    except UnicodeDecodeError:
        encoding = "cp1251" if CYRILLIC_WORD.search(data) else "cp1252"
        return data.decode(encoding), encoding


def read_boxes(source: Source, name: str, key: str) -> dict[str, list[Box]]:
    """Read a table of boxes around findings, a row for each box.

    Args:
        source: Where it is.
        name: The CSV file, with columns x, y, width and height in pixels, which are all empty where there is no box.
        key: The column that names the image.

    Returns:
        {image: its boxes (x, y, width, height)}.

    Raises:
        UsageError: It cannot be read, lacks a column, or a box is no box.
    """
    columns = [key, "x", "y", "width", "height"]
    table = read_table(source, name)
    places = {cell.lower(): place for place, cell in enumerate(table.header)}
    if lacking := [column for column in columns if column.lower() not in places]:
        raise UsageError(
            f"{name} needs the columns {', '.join(columns)}: no {lacking[0]}. It was read as {table.reading}."
        )
    boxes: dict[str, list[Box]] = {}
    for line, cells in enumerate(table.rows, start=2):
        image, *sides = (cells[place].strip() if (place := places[c.lower()]) < len(cells) else "" for c in columns)
        if not any(sides):
            continue
        try:
            x, y, width, height = map(float, sides)
        except ValueError:
            x = y = width = height = math.nan
        if not (0 <= x < math.inf and 0 <= y < math.inf and 0 < width < math.inf and 0 < height < math.inf):
            raise UsageError(
                f"{name}, line {line}: {', '.join(sides)} is no box. Give x, y, width and height in pixels, x and y "
                "from the image's upper left corner, width and height above 0."
            )
        boxes.setdefault(image, []).append((x, y, width, height))
    return boxes
