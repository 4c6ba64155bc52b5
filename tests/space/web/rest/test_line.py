"""Who waits, who is computed for, and how much memory bodies may take."""

import asyncio
import threading

import pytest

from space.web.rest.line import MOST_HELD, Line
from space.web.rest.problems import Problem
from space.web.settings import Settings


def test_work_is_done_in_turn_and_no_more_of_it_at_once_than_is_allowed():
    line, started, running, most = Line(Settings(concurrency=2, max_queue=8)), [], [], []
    lock = threading.Lock()

    def work(number: int):
        with lock:
            started.append(number)
            running.append(number)
            most.append(len(running))
        threading.Event().wait(0.01)
        with lock:
            running.remove(number)
        return number

    async def crowd():
        return await asyncio.gather(*(line.run(lambda number=number: work(number)) for number in range(10)))

    assert asyncio.run(crowd()) == list(range(10))
    assert started == list(range(10))
    assert max(most) <= 2


def test_one_more_than_may_wait_is_refused_and_room_comes_back():
    line, go_on = Line(Settings(concurrency=1, max_queue=1)), threading.Event()

    async def crowd():
        waiting = [asyncio.create_task(line.run(go_on.wait)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Problem, match="busy"):
            await line.run(go_on.wait)
        with pytest.raises(Problem, match="busy"), line.holding():
            pass
        go_on.set()
        await asyncio.gather(*waiting)
        return await line.run(lambda: "done")

    assert asyncio.run(crowd()) == "done"


def test_work_that_fails_leaves_its_place():
    line = Line(Settings(concurrency=1, max_queue=1))

    def fail():
        raise ZeroDivisionError

    async def again():
        for _ in range(5):
            with pytest.raises(ZeroDivisionError):
                await line.run(fail)

    asyncio.run(again())


def test_bodies_together_have_a_limit():
    line = Line(Settings(max_upload_mb=1))
    with line.holding() as hold:
        hold(MOST_HELD * 10**6)
        with line.holding() as other, pytest.raises(Problem, match="busy"):
            other(1)
    with line.holding() as hold:
        hold(MOST_HELD * 10**6)
