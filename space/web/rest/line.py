"""Who waits for an answer, and who is computed for: a stream of requests must starve neither the page nor others."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from space.web.rest.problems import Problem, RequestCode
from space.web.settings import Settings

MOST_HELD = 16  # largest files that all bodies together may fill in memory
RETRY_SECONDS = 1
T = TypeVar("T")


class Line:
    """Computes in a few threads of its own, in the order of arrival.

    Args:
        settings: `concurrency` is how many are computed at once, `max_queue` how many may wait.
    """

    def __init__(self, settings: Settings):
        self._pool = ThreadPoolExecutor(settings.concurrency, thread_name_prefix="rest")
        self._most, self._most_bytes = settings.concurrency + settings.max_queue, MOST_HELD * settings.limits.max_bytes
        self._n, self._bytes = 0, 0

    @contextmanager
    def holding(self) -> Iterator[Callable[[int], None]]:
        """Counts the bytes of a body; yields what to call with the length of every chunk.

        Raises:
            Problem: The line is full, or so is the memory for bodies; also from what is yielded.
        """
        if self._n >= self._most:
            raise _busy()
        own = 0

        def hold(n: int) -> None:
            nonlocal own
            if self._bytes + n > self._most_bytes:
                raise _busy()
            self._bytes, own = self._bytes + n, own + n

        try:
            yield hold
        finally:
            self._bytes -= own

    async def run(self, work: Callable[[], T]) -> T:
        """Wait for a thread, and for the result of `work` in it.

        Raises:
            Problem: The line is full.
        """
        if self._n >= self._most:
            raise _busy()
        self._n += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._n -= 1


def _busy() -> Problem:
    sentence = "The server is busy. Try again in a moment."
    return Problem(RequestCode.BUSY, sentence, [(b"retry-after", str(RETRY_SECONDS).encode())])
