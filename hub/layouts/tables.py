"""CSV tables that lie beside the images of a source."""

import csv
import io
import math

from hub.layouts.base import Box
from space.errors import UsageError, XrayError
from space.imaging.archives import Source


def read_table(source: Source, name: str) -> list[list[str]] | None:
    """The rows of a CSV file, its header first; None if it cannot be read as UTF-8 CSV."""
    try:
        return list(csv.reader(io.StringIO(source.read(name).decode("utf-8-sig"))))
    except (XrayError, UnicodeDecodeError, csv.Error):
        return None


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
    header, *rows = read_table(source, name) or [[]]
    places = {cell.strip().lower(): place for place, cell in enumerate(header)}
    if lacking := [column for column in columns if column.lower() not in places]:
        raise UsageError(f"{name} cannot be read as a CSV file with the columns {', '.join(columns)}: no {lacking[0]}.")
    boxes: dict[str, list[Box]] = {}
    for line, cells in enumerate(rows, start=2):
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
