"""Many short tasks on all cores, in order, few of them in memory at a time."""

import argparse
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

MOST_AT_A_TIME = 32
T, R = TypeVar("T"), TypeVar("R")


def in_order(function: Callable[[T], R], items: Iterable[T], total: int, workers: int) -> Iterator[R]:
    """Like a thread pool's `map`, for many short tasks: several to a thread at a time, and only a few in the queue.

    An error, or Ctrl-C, therefore ends the work soon, and memory does not grow with the number of items.

    Args:
        function: What is done with each item.
        items: The items.
        total: How many there are.
        workers: Threads.
    """
    waiting: deque = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for part in batched(items, max(1, min(MOST_AT_A_TIME, total // (4 * workers)))):
                waiting.append(pool.submit(lambda part=part: [function(item) for item in part]))
                if len(waiting) > 2 * workers:
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


def parse_workers(text: str) -> int:
    """Read a number of workers from a command line.

    Raises:
        argparse.ArgumentTypeError: It is no number of 1 or more.
    """
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of 1 or more")
    return int(text)


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0))
