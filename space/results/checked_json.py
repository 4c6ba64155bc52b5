"""JSON files that hold checked dataclasses."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from space.errors import UsageError

Record = TypeVar("Record")
# How results are declared: values are checked when one is made, unknown names and numbers that are not finite refused.
CHECKED = {"frozen": True, "kw_only": True, "config": ConfigDict(extra="forbid", allow_inf_nan=False)}


def read_json(path: Path, kind: type[Record]) -> Record:
    """Read a JSON file as a dataclass of this kind.

    Raises:
        UsageError: There is none, or it is not one that this project wrote.
    """
    try:
        return TypeAdapter(kind).validate_json(path.read_bytes())
    except FileNotFoundError:
        raise UsageError(f"{path.parent} has no {path.name}. Give the folder of a finished run.") from None
    except ValidationError as error:
        raise UsageError(f"{path} is damaged or was not written by this project: {_first_problem(error)}.") from None


def _first_problem(error: ValidationError) -> str:
    """Where the first problem is and what it is, and how many more there are."""
    problems = error.errors(include_url=False)
    place = ".".join(map(str, problems[0]["loc"]))
    text = (f"{place}: " if place else "") + problems[0]["msg"].rstrip(".")
    return text + (f" (and {len(problems) - 1} more)" if len(problems) > 1 else "")


def to_json(values: Mapping[str, Any]) -> str:
    """Plain values as readable JSON: floats keep all their digits.

    Raises:
        ValueError: A number is not finite.
    """
    return json.dumps(values, indent=2, allow_nan=False) + "\n"
