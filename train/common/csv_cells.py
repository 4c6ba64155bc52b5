"""Cells of CSV files whose texts come from outside: file names, labels, patients."""

import unicodedata

INVISIBLE = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # Unicode's control, format and surrogate characters, and line separators
FORMULA = tuple("=+-@＝＋－＠")  # what spreadsheets compute instead of showing, in full width too


def csv_safe(text: str, guard: str = "'") -> str:
    r"""Make a text safe for a CSV file, whoever wrote it.

    Args:
        text: A file name, a label.
        guard: What is put before texts that begin with =, +, - or @, which spreadsheets would compute. "./" leaves a
            path the path of the same file.

    Returns:
        The text, with invisible characters (line breaks, terminal codes, changes of direction) written as `\n`, `\x1b`.
    """
    shown = "".join(
        char.encode("unicode_escape").decode() if unicodedata.category(char) in INVISIBLE else char for char in text
    )
    return guard + shown if shown.startswith(FORMULA) else shown
