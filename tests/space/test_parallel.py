"""Threads that keep the order, and stop soon."""

import threading

import pytest

from space.parallel import batched, in_order


@pytest.mark.parametrize("chunk", [1, 3])
def test_results_come_in_order(chunk):
    assert list(in_order(lambda n: n * n, range(100), workers=4, chunk=chunk)) == [n * n for n in range(100)]


def test_little_more_is_begun_than_is_asked_for():
    begun = []
    results = in_order(lambda n: begun.append(n) or n, iter(range(10_000)), workers=2)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    results.close()
    assert len(begun) < 100


def test_an_error_ends_the_work():
    begun = []

    def work(n: int) -> int:
        begun.append(n)
        if n == 5:
            raise ValueError("five")
        return n

    with pytest.raises(ValueError, match="five"):
        list(in_order(work, range(10_000), workers=2))
    assert len(begun) < 100
    assert not [thread for thread in threading.enumerate() if "ThreadPool" in thread.name]


def test_batches_hold_everything_once():
    assert list(batched(range(5), 2)) == [[0, 1], [2, 3], [4]]
    assert list(batched([], 2)) == []
