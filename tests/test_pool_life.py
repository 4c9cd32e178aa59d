"""A pool starts whole or not at all, and leaves nothing behind."""

import asyncio
from contextlib import aclosing

import numpy as np
import pytest

from backlit_proto.errors import BadQuestion, InternalError, ServerUnavailable
from backlit_server.workers.memory import KEPT_FILES
from backlit_server.workers.pool import Pool
from toys import answers, children, descriptors, held, no_more_than, number, question, rest, shared_maps
from waiting import WAIT, until


async def test_500_questions_leave_nothing_behind(settings):
    before_all = held()
    pool = Pool(settings, engine="toy_engines:Toy")
    await pool.start()
    pid, before = await number(pool, "pid"), descriptors()
    worker_before = descriptors(pid)
    x = np.ones((1, 3, 64, 64), np.float32)
    for _ in range(100):
        await asyncio.gather(*(answers(pool, question("echo", x)) for _ in range(3)))
        with pytest.raises(BadQuestion):
            await answers(pool, question("refuse", x))
        async with aclosing(pool.explain(question("many", x, answers=1000))) as stream:
            await anext(stream)
    # Answers to a caller who left may still be arriving, a descriptor each.
    await until(lambda: descriptors() <= before + KEPT_FILES)
    await until(lambda: descriptors(pid) <= worker_before + KEPT_FILES)
    assert shared_maps() == shared_maps(pid) == 0
    await pool.stop(WAIT)
    await no_more_than(before_all)


async def test_stopping_lets_questions_in_flight_end_and_refuses_new_ones(pool):
    stream = pool.explain(question("many", answers=50))
    await anext(stream)
    stopping = asyncio.create_task(pool.stop(WAIT))
    await asyncio.sleep(0)
    with pytest.raises(ServerUnavailable, match="stopping"):
        await answers(pool, question("echo"))
    assert len(await rest(stream)) == 49
    await stopping
    assert children() == set()


async def test_after_the_grace_a_busy_worker_is_killed_and_its_callers_told(pool):
    stream = pool.explain(question("deaf_run"))
    await anext(stream)
    await pool.stop(0.05)
    with pytest.raises(ServerUnavailable, match="the server is stopping"):
        await anext(stream)
    assert children() == set()


@pytest.mark.parametrize(
    ("device", "engine", "error", "words"),
    [
        ("cpu", "toy_engines:breaks", InternalError, "the toy is broken"),
        ("cpu", "toy_engines:vanishes", ServerUnavailable, "ended before it was ready .*exit status 7"),
        ("cpu", "no_such_module:Engine", InternalError, "log says why"),
        ("require-cuda", "toy_engines:Toy", ServerUnavailable, "CUDA is required.*ToyExecutionProvider"),
    ],
)
async def test_a_worker_that_cannot_start_makes_the_start_fail_and_leaves_nothing(
    settings, device, engine, error, words
):
    before = held()
    pool = Pool(settings, devices=("cpu", device), engine=engine)
    with pytest.raises(error, match=words):
        await pool.start()
    await no_more_than(before)


async def test_a_start_that_is_given_up_leaves_nothing(settings):
    before = held()
    pool = Pool(settings, devices=("cpu", "cpu"), engine="toy_engines:Toy")
    starting = asyncio.create_task(pool.start())
    await until(lambda: len(children()) == 2)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    await no_more_than(before)
