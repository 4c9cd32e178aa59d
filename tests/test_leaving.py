"""Callers who leave, or do not read: their worker is free for the others."""

import asyncio
from contextlib import aclosing
from dataclasses import replace

import numpy as np
import pytest

from backlit_proto.errors import WorkerLost
from backlit_server.workers.credit import ANSWERS
from backlit_server.workers.pool import Pool
from toys import answers, number, question, rest
from waiting import WAIT, until


async def test_a_quick_question_overtakes_long_ones(pool):
    long = [asyncio.create_task(answers(pool, question("endless"))) for _ in range(3)]
    assert np.array_equal((await answers(pool, question("echo", np.ones(3))))[0], np.ones(3))
    assert not any(task.done() for task in long)
    for task in long:
        task.cancel()
    await asyncio.gather(*long, return_exceptions=True)


@pytest.mark.parametrize("method", ["endless", "long_run", "many"])
async def test_leaving_frees_the_worker(pool, method):
    pid = await number(pool, "pid")
    for _ in range(10):
        task = asyncio.create_task(answers(pool, question(method, answers=10**9)))
        await number(pool, "pid")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await number(pool, "steps")
    before, after = await number(pool, "steps"), await number(pool, "steps")
    assert after == before + 1, "somebody is still at work"
    assert await number(pool, "pid") == pid


async def test_a_worker_that_does_not_let_go_of_a_question_is_replaced(settings, caplog):
    pool = Pool(replace(settings, yield_seconds=1), engine="toy_engines:Toy")
    await pool.start()
    before = await number(pool, "pid")
    async with aclosing(pool.explain(question("deaf_run"))) as stream, asyncio.timeout(WAIT):
        await anext(stream)
        await until((settings.store / "deaf").exists)
    with pytest.raises(WorkerLost):
        await answers(pool, question("echo", np.ones(3)))
    assert await number(pool, "pid") != before
    assert "went on for 1 s after its caller had left" in caplog.text
    await pool.stop(0)


async def test_a_question_that_waits_behind_a_long_one_is_let_go_at_once(settings):
    pool = Pool(replace(settings, yield_seconds=1), engine="toy_engines:Toy")
    await pool.start()
    pid = await number(pool, "pid")
    async with aclosing(pool.explain(question("long_run"))) as stream, asyncio.timeout(WAIT):
        await anext(stream)
        waiting = asyncio.create_task(answers(pool, question("echo", np.ones(3))))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        await asyncio.sleep(1.2)  # longer than the patience
    assert await number(pool, "pid") == pid
    await pool.stop(0)


async def test_closing_the_generator_after_one_answer_frees_the_worker(pool):
    async with aclosing(pool.explain(question("long_run"))) as stream, asyncio.timeout(WAIT):
        await anext(stream)
    assert len(await answers(pool, question("echo", np.ones(3)))) == 1


async def test_an_unread_stream_parks_and_others_are_served(pool):
    async with aclosing(pool.explain(question("many", answers=1000))) as stream, asyncio.timeout(WAIT):
        await anext(stream)
        asked = 0
        while await number(pool, "steps") - asked < 1 + ANSWERS:
            asked += 1
        for _ in range(20):
            asked += 1
            assert await number(pool, "steps") - asked == 1 + ANSWERS
        others = [answer[0, 0] for answer in await rest(stream)]
    assert others == list(range(1, 1000)), "once it is read, it goes on where it was"
