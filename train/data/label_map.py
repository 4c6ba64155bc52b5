"""A file that renames, merges and drops classes."""

from pathlib import Path

from space.errors import UsageError
from train.common.arguments import read_toml


def read_map(path: Path, option: str) -> dict[str, str | None]:
    """Read a file with a line `"class" = "new name"` for each class to rename; `"class" = false` drops the class.

    Args:
        path: The TOML file.
        option: The command line's name for it, for errors.

    Returns:
        {class: new name, or None to drop it}.

    Raises:
        UsageError: The file is not there, or says anything else.
    """
    try:
        table = read_toml(path)
    except UsageError as error:
        raise UsageError(f"{option}: {error}") from None
    for name, value in table.items():
        if not (value is False or (isinstance(value, str) and value.strip())):
            raise UsageError(
                f"{option} {path}: {name} = {value!r}. Give a new name in quotes, or false to drop the class."
            )
    return {name: value or None for name, value in table.items()}
