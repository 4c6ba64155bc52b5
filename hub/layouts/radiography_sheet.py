"""The metadata sheets of covid19-radiography-database."""

import io
import zipfile

from space.errors import UsageError, XrayError
from space.imaging.archives import DAMAGE, Source

# Of the file, and of its parts unpacked; the largest of the four sheets, 10,192 rows, has well under 1 MiB.
MAX_BYTES, MAX_UNPACKED = 16 * 2**20, 256 * 2**20


def read_origins(source: Source, name: str) -> dict[str, str]:
    """{image's name without ending, in lower case: URL of its origin}; empty if there is no such sheet.

    The sheets' columns are FILE NAME, FORMAT, SIZE and URL; they write some classes in capitals that the files do not.

    Raises:
        UsageError: The file is not such a sheet.
    """
    if name not in source.sizes:
        return {}
    from openpyxl import load_workbook  # loaded for these sheets alone
    from openpyxl.utils.exceptions import InvalidFileException

    try:
        file = io.BytesIO(source.read(name, MAX_BYTES))
        with zipfile.ZipFile(file) as parts:
            if sum(part.file_size for part in parts.infolist()) > MAX_UNPACKED:
                raise ValueError("a bomb")
        book = load_workbook(file, read_only=True, data_only=True)
        rows = book.worksheets[0].iter_rows(values_only=True)
        header = [str(cell or "").strip().upper() for cell in next(rows)]
        file_name, url = header.index("FILE NAME"), header.index("URL")
        return {
            str(row[file_name]).strip().lower(): str(row[url]).strip() for row in rows if row[file_name] and row[url]
        }
    except (
        *DAMAGE,
        InvalidFileException,
        XrayError,
        KeyError,
        IndexError,
        StopIteration,
        SyntaxError,  # of the XML inside
        TypeError,  # of elements with unexpected attributes
        AttributeError,  # of a chart in place of a table
    ):
        raise UsageError(
            f"{name} is not an Excel sheet with the columns FILE NAME and URL. Delete it, or download it again."
        ) from None
