"""Frozen dataclasses from TOML, strictly: unknown or missing keys, wrong types and values out of range are errors."""

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from typing import Any, TypeVar, get_args

from pydantic import ConfigDict, ValidationError

from space.errors import UsageError
from train.common.arguments import did_you_mean

Section = TypeVar("Section")
# How the pydantic dataclasses that stand for tables are declared. Strict: 1 is not true, "1" is not a number.
STRICT = {"frozen": True, "config": ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)}


def check_keys(where: str, table: Any, allowed: Sequence[str], required: Sequence[str]) -> None:
    """Check the keys of a table.

    Args:
        where: What errors call the table.
        table: The table.
        allowed: The keys that it may have.
        required: The keys that it must have.

    Raises:
        UsageError: `table` is not a table, has a key that is not in `allowed`, or lacks one of `required`.
    """
    if not isinstance(table, dict):
        raise UsageError(f"{where} must be a table with the keys: {', '.join(allowed)}.")
    for key in sorted(set(table) - set(allowed)):
        hint = did_you_mean(key, allowed) or f". Allowed: {', '.join(allowed)}."
        raise UsageError(f"{where}: unknown key {key}{hint}")
    if missing := sorted(set(required) - set(table)):
        raise UsageError(f"{where}: missing {', '.join(missing)}. Required: {', '.join(required)}.")


def parse_section(where: str, kind: type[Section], table: Any) -> Section:
    """Make a dataclass of a table; fields without a default must be there.

    Args:
        where: What errors call the table.
        kind: A pydantic dataclass declared with `STRICT`.
        table: The table.

    Raises:
        UsageError: The table does not fit; the message names what is allowed.
    """
    keys = fields(kind)
    check_keys(where, table, [key.name for key in keys], [key.name for key in keys if key.default is MISSING])
    try:
        return kind(**table)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
    key, *place = problem["loc"]
    allowed = problem["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    choices = get_args(next(field.type for field in keys if field.name == key))
    hint = did_you_mean(table[key], choices) if problem["type"] == "literal_error" else ""
    who = "Each" if place else "It"  # of the ends of a range
    raise UsageError(f"{where} {key} = {table[key]!r}{hint or '.'} {who} must be {allowed}.")


def check_pair(value: Any) -> tuple[Any, Any]:
    """Turn a list of two into a tuple, for pydantic's `BeforeValidator`."""
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise ValueError("a list of two numbers")
    return tuple(value)


def check_names(value: Any) -> tuple[Any, ...]:
    """Turn a list of different names into a tuple, for pydantic's `BeforeValidator`."""
    if not isinstance(value, list | tuple) or not all(isinstance(name, str) and name for name in value):
        raise ValueError('a list of names, such as ["NIH"]')
    if len(set(value)) != len(value):
        raise ValueError("a list of different names")
    return tuple(value)


def check_order(value: tuple[float, float]) -> tuple[float, float]:
    """Refuse a range whose ends are swapped, for pydantic's `AfterValidator`."""
    if value[0] > value[1]:
        raise ValueError("a range with the smaller end first")
    return value


def parse_value(text: str) -> Any:
    """Read a value as TOML writes it; anything else, such as a bare word, is taken as a string."""
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
