"""Work on many things with all cores, results in order, memory bounded."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

AHEAD = 8  # items per core that are begun before their turn
T, R = TypeVar("T"), TypeVar("R")


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0))


def in_order(function: Callable[[T], R], items: Iterable[T], workers: int | None = None, chunk: int = 1) -> Iterator[R]:
    """Like `map(function, items)`, in threads; `items` is asked for only a little ahead of what is yielded.

    An error, or Ctrl-C, therefore ends the work soon, and memory does not grow with the number of items.

    Args:
        function: What is done with each item.
        items: The items.
        workers: Threads; None for one per core.
        chunk: Items that a thread takes at a time; more than one for short tasks.
    """
    workers = workers or cores()
    most = max(2, AHEAD // chunk) * workers
    waiting: deque[Future] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for part in batched(items, chunk):
                waiting.append(pool.submit(lambda part=part: [function(item) for item in part]))
                if len(waiting) > most:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of `size` items, the last one with what is left."""
    iterator = iter(items)
    while part := list(islice(iterator, size)):
        yield part
