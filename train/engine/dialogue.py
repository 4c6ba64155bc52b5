"""The question on the terminal whether to continue, for how long, and how fast (study E)."""

import math
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Answer:
    """What a person wants.

    Attributes:
        epochs: Epochs until the next question; 0 stops, None continues to the end without asking again.
        learning_rate: The new peak learning rate; None keeps it.
    """

    epochs: int | None
    learning_rate: float | None = None


def can_ask() -> bool:
    """Whether a person sits at a terminal that this process may read from without being stopped for it."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return False
    try:
        return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except OSError:
        return False


def ask_person(done: int, epochs: int, learning_rate: float) -> Answer | None:
    """Ask on the terminal whether to continue, for how long, and with which learning rate.

    Args:
        done: Epochs done.
        epochs: Epochs after which training would end.
        learning_rate: The present one.

    Returns:
        The answer; None where nobody can give one.
    """
    if not can_ask():
        return None
    try:
        more = _answer(
            f"{done} of {epochs} epochs are done. Continue? Enter: yes, to the end; a number: that many more epochs, "
            "then ask again; n: stop. ",
            lambda text: {"": None, "y": None, "n": 0}[text] if text in ("", "y", "n") else int(text),
            lambda value: value is None or value >= 0,
            "Please press Enter, or type a whole number or n.",
        )
        if more == 0:
            return Answer(0)
        rate = _answer(
            f"Learning rate? Enter: keep {learning_rate:g}. ",
            lambda text: float(text) if text else None,
            lambda value: value is None or 0 < value < math.inf,
            "Please press Enter, or type a number above 0.",
        )
    except EOFError:
        return None
    return Answer(more, rate)


def _answer(question: str, parse: Callable, valid: Callable, allowed: str) -> float | int | None:
    """Ask until the answer can be understood; `allowed` is what to say when it cannot."""
    while True:
        try:
            value = parse(input(question).strip().lower())
        except ValueError:
            value = math.nan
        if value is None or (value == value and valid(value)):
            return value
        print(allowed)
