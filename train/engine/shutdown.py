"""Signals that end training only after its state is saved."""

import signal


class ShutdownSignal:
    """Notes SIGTERM or SIGINT instead of dying of it, inside a `with` block; a second one ends the process at once.

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
