"""What several command lines share: values that they read, and a hint at what was meant."""

import argparse
from collections.abc import Iterable
from difflib import get_close_matches

from space.errors import check_local

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


def parse_workers(text: str) -> int:
    """Read a number of worker threads from the command line.

    Raises:
        argparse.ArgumentTypeError: It is not a whole number of 1 or more.
    """
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}; it must be a whole number of 1 or more")
    return int(text)


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


def did_you_mean(text: object, allowed: Iterable[str]) -> str:
    """The rest of an error's sentence that names the nearest allowed word: "; did you mean epochs?"; "" if none is."""
    names = {name.lower(): name for name in allowed}
    nearest = get_close_matches(str(text).lower(), names, n=1)
    return f"; did you mean {names[nearest[0]]}?" if nearest else ""
