"""A worker that dies: its callers are told, and the next one serves; none outlives its front."""

import asyncio
import os
import select
import signal
import subprocess
import sys
from contextlib import aclosing

import pytest

from backlit_proto.errors import BacklitError, WorkerLost
from backlit_server.workers.pool import Pool
from toys import answers, children, number, question, rest
from waiting import WAIT, until


async def test_callers_of_a_killed_worker_are_told_and_the_next_question_succeeds_20_times(pool, caplog):
    for _ in range(20):
        pid = await number(pool, "pid")
        async with aclosing(pool.explain(question("deaf_run"))) as stuck, asyncio.timeout(WAIT):
            await anext(stuck)
            os.kill(pid, signal.SIGKILL)
            with pytest.raises(WorkerLost, match=r"died \(.*\) before it had answered; ask again"):
                await anext(stuck)
        assert await number(pool, "pid") != pid
    assert caplog.text.count("the worker of device cpu died: SIGKILL") == 20


async def test_a_poison_question_is_not_asked_twice_and_others_are_served_after_it(pool):
    first = await number(pool, "pid")
    with pytest.raises(WorkerLost):
        await answers(pool, question("die"))
    second = await number(pool, "pid")
    assert first != second
    assert await number(pool, "steps") == 1, "the new worker has done nothing but tell its number"
    assert await number(pool, "pid") == second


async def test_all_callers_of_a_worker_are_told_that_it_died(pool):
    pid = await number(pool, "pid")
    streams = [pool.explain(question(method, answers=1000)) for method in ("many", "many", "deaf_run")]
    for stream in streams:
        await anext(stream)
    os.kill(pid, signal.SIGKILL)
    outcomes = await asyncio.gather(*map(rest, streams), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [WorkerLost] * 3


async def test_while_the_worker_cannot_start_again_questions_are_refused_and_then_served(settings):
    pool = Pool(settings, engine="toy_engines:starts_once")
    await pool.start()
    os.kill(await number(pool, "pid"), signal.SIGKILL)
    await until(lambda: not pool.devices[0].ready)
    with pytest.raises(WorkerLost, match="does not start; ask again later"):
        await answers(pool, question("echo"))
    (settings.store / "broken").unlink()
    await until(lambda: pool.devices[0].ready)
    assert await number(pool, "pid")
    await pool.stop(WAIT)


async def test_stopping_while_the_worker_cannot_start_again_ends_the_attempts(settings):
    pool = Pool(settings, engine="toy_engines:starts_once")
    await pool.start()
    os.kill(await number(pool, "pid"), signal.SIGKILL)
    await until(lambda: not pool.devices[0].ready)
    waiting = asyncio.create_task(answers(pool, question("echo")))
    await pool.stop(WAIT)
    with pytest.raises(BacklitError):
        await waiting
    assert children() == set()


async def test_workers_ignore_the_signals_that_stop_a_whole_group(pool):
    pid = await number(pool, "pid")
    os.kill(pid, signal.SIGINT)
    os.kill(pid, signal.SIGTERM)
    assert await number(pool, "pid") == pid


FRONT = """
import asyncio, sys
from pathlib import Path
from backlit_proto import backlit_pb2 as pb
from backlit_proto.tensors import to_array
from backlit_server.settings import Settings
from backlit_server.workers.pool import Pool

async def main():
    pool = Pool(Settings(store=Path("."), device="cpu"), engine="toy_engines:Toy")
    await pool.start()
    async for response in pool.explain(pb.ExplainRequest(question=pb.Question(method="pid"))):
        print(int(to_array(response.explanations[0].heatmap)), flush=True)
    async for response in pool.explain(pb.ExplainRequest(question=pb.Question(method="deaf_run"))):
        print("busy", flush=True)

asyncio.run(main())
"""


@pytest.mark.usefixtures("toys_on_the_path")
def test_no_worker_outlives_a_front_that_is_killed(tmp_path):
    front = subprocess.Popen([sys.executable, "-c", FRONT], stdout=subprocess.PIPE, cwd=tmp_path, text=True)
    with front:
        assert front.stdout is not None
        worker = os.pidfd_open(int(front.stdout.readline()))
        assert front.stdout.readline() == "busy\n"
        front.kill()
    gone, _, _ = select.select([worker], [], [], WAIT)
    os.close(worker)
    assert gone, "the worker is still there"
