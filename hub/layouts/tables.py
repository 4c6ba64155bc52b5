"""CSV tables that lie beside the images of a source."""

import csv
import io

from space.errors import XrayError
from space.imaging.archives import Source


def read_table(source: Source, name: str) -> list[list[str]] | None:
    """The rows of a CSV file, its header first; None if it cannot be read as UTF-8 CSV."""
    try:
        return list(csv.reader(io.StringIO(source.read(name).decode("utf-8-sig"))))
    except (XrayError, UnicodeDecodeError, csv.Error):
        return None
