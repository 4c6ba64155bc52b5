"""Signals that end training only after its state is saved."""

import signal

from space.errors import ChestXrayError


class Interrupted(ChestXrayError):
    """The process was asked to end, and the state of training was saved.

    Args:
        step: Optimiser steps done.
        signal: The signal that asked.
    """

    def __init__(self, step: int, signal: int):
        super().__init__(f"interrupted after step {step}; the state of training was saved. Add --resume to continue.")
        self.exit_code = 128 + signal


class ShutdownSignal:
    """Notes SIGTERM or SIGINT inside a `with` block, instead of ending the process; a second one ends it at once.

    Called, it returns the signal's number, or 0 while there was none.
    """

    def __init__(self):
        self.signal = 0
        self.handlers: dict[int, object] = {}

    def __call__(self) -> int:
        return self.signal

    def __enter__(self) -> "ShutdownSignal":
        self.handlers = {number: signal.signal(number, self._note) for number in (signal.SIGTERM, signal.SIGINT)}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self.handlers.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: object) -> None:
        self.signal = number
        self.__exit__()
