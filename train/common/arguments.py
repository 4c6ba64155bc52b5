"""What several command lines share: values and files that they read, what may be published of them, and hints."""

import argparse
import tomllib
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from space.errors import UsageError, check_local

# Starting weights that have a name: downloaded from the Hub, and random ones. All others are a path or a repository.
IMAGENET, SCRATCH = "imagenet", "scratch"


def parse_seed(text: str) -> int:
    """Read a seed from the command line: an integer that every random number generator takes, 0 to 2**32 - 1.

    Raises:
        argparse.ArgumentTypeError: It is not such a number.
    """
    if not text.isdecimal() or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(f"{text!r}; it must be a whole number from 0 to {2**32 - 1}")
    return int(text)


def parse_count(text: str) -> int:
    """Read a number of steps, runs or threads from the command line.

    Raises:
        argparse.ArgumentTypeError: It is not a whole number of 1 or more.
    """
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}; it must be a whole number of 1 or more")
    return int(text)


def parse_share(text: str) -> float:
    """Read the share of a new split from the command line: a number above 0 and up to 0.5.

    Raises:
        argparse.ArgumentTypeError: It is not such a number.
    """
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0 < share <= 0.5:
        raise argparse.ArgumentTypeError(f"{text!r}; it must be a number above 0 and at most 0.5")
    return share


def check_init(init: str, option: str) -> None:
    """Refuse starting weights that are not there, as far as can be told without asking the Hub.

    Args:
        init: `IMAGENET`, `SCRATCH`, a path, or a repository.
        option: What it was given for.

    Raises:
        UsageError: It is a path at which there is nothing.
    """
    if init not in (IMAGENET, SCRATCH):
        check_local(init, option)


def public_name(path_or_repo: str) -> str:
    """What may be published of a path or repository that a user named: of a local path its last part alone.

    A path that is gone by now is still taken for one.
    """
    path = Path(path_or_repo)
    is_local = path.exists() or path.is_absolute() or len(path.parts) > 2 or path_or_repo.startswith((".", "~"))
    return path.name if is_local else path_or_repo


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        UsageError: It is missing, not UTF-8, or not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path.name} is not valid TOML: {error}") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from None


def did_you_mean(text: object, allowed: Iterable[str]) -> str:
    """The rest of an error's sentence that names the nearest allowed word: "; did you mean epochs?"; "" if none is."""
    names = {name.lower(): name for name in allowed}
    nearest = get_close_matches(str(text).lower(), names, n=1)
    return f"; did you mean {names[nearest[0]]}?" if nearest else ""
