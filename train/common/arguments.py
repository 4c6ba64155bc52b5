"""Values that several command lines read."""

import argparse


def parse_seed(text: str) -> int:
    """Read a seed from the command line: an integer that every random number generator takes, 0 to 2**32 - 1.

    Raises:
        argparse.ArgumentTypeError: It is no such number.
    """
    if not text.isdecimal() or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(f"{text!r}; it must be a whole number from 0 to {2**32 - 1}")
    return int(text)


def parse_workers(text: str) -> int:
    """Read a number of worker threads from the command line.

    Raises:
        argparse.ArgumentTypeError: It is no whole number of 1 or more.
    """
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}; it must be a whole number of 1 or more")
    return int(text)
