"""The ordered map in threads."""

import itertools
import threading
import time

import pytest

from space.parallel import batched, in_order


@pytest.mark.parametrize("chunk", [1, 3])
def test_results_come_in_order_from_several_threads(chunk):
    threads = set()

    def work(number: int) -> int:
        threads.add(threading.get_ident())
        time.sleep(0.02 if number % 4 == 0 else 0)
        return number * number

    assert list(in_order(work, range(30), workers=3, chunk=chunk)) == [number * number for number in range(30)]
    assert len(threads) > 1


def test_endless_items_are_asked_for_only_a_little_ahead():
    items = itertools.count()
    results = in_order(lambda item: item, items, workers=2)
    assert [next(results) for _ in range(5)] == [0, 1, 2, 3, 4]
    results.close()
    assert next(items) < 5 + 2 * 9


def test_an_error_ends_the_work_where_it_belongs():
    done = []

    def work(number: int) -> int:
        if number == 3:
            raise ValueError("three")
        done.append(number)
        return number

    results = in_order(work, range(10_000), workers=2)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        next(results)
    assert len(done) < 100


def test_batches_are_full_but_for_the_last():
    assert list(batched(range(5), 2)) == [[0, 1], [2, 3], [4]]
    assert list(batched([], 2)) == []
