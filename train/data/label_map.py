"""A file that renames, merges and drops classes."""

import tomllib
from pathlib import Path

from space.errors import UsageError


def read_map(path: Path, option: str) -> dict[str, str | None]:
    """Read it: `"class" = "new name"` a line; `"class" = false` drops the class.

    Args:
        path: The TOML file.
        option: The command line's name for it, for errors.

    Returns:
        {class: new name, or None to drop it}.

    Raises:
        UsageError: The file is not there, or says anything else.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{option} {path} cannot be read as TOML: {error}.") from None
    for name, value in table.items():
        if not (value is False or (isinstance(value, str) and value.strip())):
            raise UsageError(
                f"{option} {path}: {name} = {value!r}. Give a new name in quotes, or false to drop the class."
            )
    return {name: value or None for name, value in table.items()}
