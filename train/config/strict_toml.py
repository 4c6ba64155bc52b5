"""Frozen dataclasses from TOML, strictly: unknown or missing keys, wrong types and values out of range are errors."""

import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from space.errors import UsageError

Limits = Mapping[str, tuple[float, float]]
Choices = Mapping[str, tuple[str, ...]]


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        UsageError: It is missing, not UTF-8, or no TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path.name} is not valid TOML: {error}") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from None


def check_keys(where: str, table: Any, allowed: list[str], required: list[str]) -> None:
    """Check the keys of a table.

    Raises:
        UsageError: `table` is no table, has a key that is not in `allowed`, or lacks one of `required`.
    """
    if not isinstance(table, dict):
        raise UsageError(f"{where} must be a table with the keys: {', '.join(allowed)}.")
    for problem, keys in (("unknown", set(table) - set(allowed)), ("missing", set(required) - set(table))):
        if keys:
            needed = f"Required: {', '.join(required)}. " if required else ""
            raise UsageError(f"{where}: {problem} {', '.join(sorted(keys))}. {needed}Allowed: {', '.join(allowed)}.")


def parse_section(where: str, kind: type, table: Any, limits: Limits, choices: Choices) -> Any:
    """Make a dataclass of a table; fields without a default must be there.

    Args:
        where: What errors call the table.
        kind: A dataclass of str, int, float, bool and tuple[float, float] fields.
        table: The table.
        limits: Smallest and largest value of numbers by key; of a range both ends, in order.
        choices: Allowed strings by key.

    Raises:
        UsageError: The table does not fit; the message names what is allowed.
    """
    known = fields(kind)
    check_keys(where, table, [field.name for field in known], [f.name for f in known if f.default is MISSING])
    values = {
        field.name: _typed(f"{where} {field.name}", field.type, table[field.name])
        for field in known
        if field.name in table
    }
    for key, value in values.items():
        if key in choices and value not in choices[key]:
            raise UsageError(f"{where} {key} = {value!r}; it must be one of: {', '.join(choices[key])}.")
        if key in limits:
            _check_limits(f"{where} {key}", value, limits[key])
    return kind(**values)


def parse_value(text: str) -> Any:
    """Read a value as TOML writes it; what is none, such as a bare word, is taken as a string."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def dump_section(name: str, values: Mapping[str, Any]) -> str:
    """Write a table of plain values as TOML."""
    return "\n".join([f"[{name}]", *(f"{key} = {_dump(value)}" for key, value in values.items())]) + "\n"


def _dump(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_dump, value))}]"
    return repr(value) if isinstance(value, float) else json.dumps(value, ensure_ascii=False)


def _typed(where: str, kind: Any, value: Any) -> Any:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind is float and is_number:
        return float(value)
    if kind in (int, str, bool) and type(value) is kind:
        return value
    if kind == tuple[float, float] and isinstance(value, list) and len(value) == 2:
        return tuple(_typed(where, float, item) for item in value)
    expected = "a list of two numbers" if kind == tuple[float, float] else f"of type {kind.__name__}"
    raise UsageError(f"{where} = {value!r}; it must be {expected}.")


def _check_limits(where: str, value: Any, limits: tuple[float, float]) -> None:
    low, high = limits
    ends = value if isinstance(value, tuple) else (value, value)
    if not low <= ends[0] <= ends[1] <= high or math.isinf(ends[1]):
        shown = list(value) if isinstance(value, tuple) else value
        order = ", the smaller end first" if isinstance(value, tuple) else ""
        raise UsageError(f"{where} = {shown}; it must lie between {low:g} and {high:g}{order}.")
