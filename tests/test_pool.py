"""Workers in real processes: what callers see when all goes well, and when a worker does not."""

import asyncio
import logging
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio

from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import BacklitError, BadQuestion, InternalError, Overloaded, ServerUnavailable, WorkerLost
from backlit_proto.tensors import to_array, to_tensor
from backlit_server.settings import Settings
from backlit_server.workers.memory import KEPT_FILES
from backlit_server.workers.pool import Pool
from backlit_server.workers.terms import Terms
from backlit_server.workers.turns import CREDIT
from waiting import WAIT, until


@pytest.fixture(autouse=True)
def toys_on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers import the toy engines by name."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(store=tmp_path, device="cpu", max_questions=8)


@pytest_asyncio.fixture
async def pool(settings: Settings) -> AsyncIterator[Pool]:
    pool = Pool(settings, engine="toy_engines:Toy")
    await pool.start()
    yield pool
    await pool.stop(0)


def question(method: str, *tensors: np.ndarray, answers: int = 0) -> pb.ExplainRequest:
    inputs = {f"x{number}": to_tensor(tensor) for number, tensor in enumerate(tensors)}
    return pb.ExplainRequest(question=pb.Question(method=method, layer=str(answers)), inputs=inputs)


def heatmap(response: pb.ExplainResponse) -> np.ndarray:
    return to_array(response.explanations[0].heatmap)


async def answers(pool: Pool, asked: pb.ExplainRequest) -> list[np.ndarray]:
    return await rest(pool.explain(asked))


async def rest(stream: AsyncIterator[pb.ExplainResponse]) -> list[np.ndarray]:
    async with asyncio.timeout(WAIT):
        return [heatmap(response) async for response in stream]


async def number(pool: Pool, method: str) -> int:
    (answer,) = await answers(pool, question(method))
    return int(answer)


def children() -> set[int]:
    tasks = Path("/proc/self/task").glob("*/children")
    return {int(pid) for task in tasks for pid in task.read_text().split()}


def descriptors(pid: int | str = "self") -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def held() -> tuple[int, int]:
    """Descriptors and threads of this process."""
    return descriptors(), threading.active_count()


async def no_more_than(before: tuple[int, int]) -> None:
    """Waits a little: the thread with which asyncio waits for a child may end a moment after the child."""
    assert children() == set()
    await until(lambda: all(now <= then for now, then in zip(held(), before, strict=True)))


def shared_maps(pid: int | str = "self") -> int:
    return Path(f"/proc/{pid}/maps").read_text().count("memfd:backlit")


async def test_tensors_come_back_unchanged_through_the_process(pool):
    tensors = [np.random.default_rng(0).normal(size=(1, 3, 224, 224)).astype(np.float32), np.array(5, np.int64)]
    for sent, received in zip(tensors, await answers(pool, question("echo", *tensors)), strict=True):
        assert np.array_equal(sent, received)
        assert sent.dtype == received.dtype


async def test_a_picture_of_20_mb_gets_through(pool):
    asked = question("steps")
    asked.pictures.add(file=bytes(20 << 20))
    assert len(await answers(pool, asked)) == 1


async def test_a_worker_tells_what_it_holds_whatever_it_is_at_and_is_missed_when_it_is_gone(pool):
    async with aclosing(pool.explain(question("deaf_run"))) as stream:
        await anext(stream)
        ((device, rows),) = await pool.figures()
        found = {tuple(labels): value for *labels, value in rows}
        assert device == "cpu"
        assert found["backlit_cache_entries", "toy"] == 1
        assert found[("backlit_worker_questions",)] == 1
        assert found[("backlit_worker_resident_bytes",)] > 1 << 20
        (worker,) = children()
        os.kill(worker, signal.SIGKILL)
        await until(lambda: not pool.devices[0].ready)
        ((device, rows),) = await pool.figures()
        assert [name for name, *_ in rows] == ["backlit_worker_questions"]


async def test_the_story_of_a_question_is_told_when_it_has_ended_well(pool):
    heard = []
    async for _ in pool.explain(question("many", answers=2), hear=heard.append):
        assert not heard
    (story,) = heard
    assert story.stages.keys() == {"queue", "method", "encode"}
    assert 0 < sum(stage.seconds for stage in story.stages.values()) < WAIT
    with pytest.raises(BadQuestion):
        await rest(pool.explain(question("refuse"), hear=heard.append))
    assert len(heard) == 1


async def test_the_pool_tells_what_workers_really_run_on(settings):
    pool = Pool(settings, devices=("auto",), engine="toy_engines:Toy")
    assert [(d.name, d.ready) for d in pool.devices] == [("auto", False)]
    await pool.start()
    assert [(d.name, d.provider, d.ready) for d in pool.devices] == [("auto", "ToyExecutionProvider", True)]
    await pool.stop(WAIT)
    assert not pool.devices[0].ready


@pytest.mark.parametrize(
    ("method", "error", "words"),
    [
        ("refuse", BadQuestion, "no method 'refuse'; there is echo"),
        ("fail", InternalError, "the server's log says why"),
        ("starve", Overloaded, "send fewer images"),
        ("nonsense", InternalError, "the server's log says why"),
    ],
)
async def test_errors_arrive_as_their_class_and_the_worker_lives_on(pool, method, error, words):
    before = await number(pool, "pid")
    with pytest.raises(error, match=words) as caught:
        await answers(pool, question(method))
    assert "secret" not in str(caught.value)
    assert await number(pool, "pid") == before


async def test_the_details_of_a_refusal_arrive(pool):
    with pytest.raises(BadQuestion) as caught:
        await answers(pool, question("refuse"))
    assert caught.value.details == {"method": "refuse"}


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
        while await number(pool, "steps") - asked < 1 + CREDIT:
            asked += 1
        for _ in range(20):
            asked += 1
            assert await number(pool, "steps") - asked == 1 + CREDIT
        others = [answer[0, 0] for answer in await rest(stream)]
    assert others == list(range(1, 1000)), "once it is read, it goes on where it was"


async def test_more_questions_than_allowed_are_refused_until_one_ends(pool):
    streams = [pool.explain(question("many", answers=1000), Terms(f"caller {k}")) for k in range(8)]
    for stream in streams:
        await anext(stream)
    with pytest.raises(Overloaded, match="8 questions are in flight") as refused:
        await answers(pool, question("echo"))
    assert refused.value.retry_seconds == pytest.approx(0.1), "nothing is known yet of how long questions take"
    await streams[0].aclose()
    assert await number(pool, "pid")
    for stream in streams[1:]:
        await stream.aclose()


async def test_a_caller_with_many_questions_leaves_places_for_others(pool):
    greedy = Terms("greedy")
    streams = [pool.explain(question("many", answers=1000), greedy) for _ in range(7)]
    for stream in streams:
        await anext(stream)
    with pytest.raises(Overloaded, match="7 questions of yours are in flight"):
        await rest(pool.explain(question("echo"), greedy))
    assert await number(pool, "pid")
    for stream in streams:
        await stream.aclose()


async def test_a_question_goes_to_the_worker_that_is_least_busy(settings):
    pool = Pool(settings, devices=("cpu", "cpu"), engine="toy_engines:Toy")
    await pool.start()
    first = await number(pool, "pid")
    async with aclosing(pool.explain(question("many", answers=1000))) as stream:
        await anext(stream)
        assert await number(pool, "pid") != first
    await pool.stop(WAIT)


async def test_a_deleted_model_is_forgotten_by_every_worker(pool):
    pool.forget("a" * 64)
    (told,) = await answers(pool, question("forgets"))
    assert told.tobytes().decode() == "a" * 64


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


async def test_what_a_worker_prints_is_logged_without_control_characters(pool, caplog):
    caplog.set_level(logging.INFO, "backlit_server.worker")
    await answers(pool, question("shout"))
    await until(lambda: len(caplog.records) >= 2)
    lines = [(record.name, record.levelname, record.getMessage()) for record in caplog.records]
    assert ("backlit_server.worker", "INFO", r"on stdout \x1b[31mred\r") in lines
    assert ("backlit_server.worker", "WARNING", "on stderr") in lines


async def test_an_engines_defect_is_in_the_log_with_its_traceback(pool, caplog):
    with pytest.raises(InternalError):
        await answers(pool, question("fail"))
    await until(lambda: "ZeroDivisionError: a secret of the house" in caplog.text)
    assert {record.levelname for record in caplog.records} == {"ERROR"}


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


def test_the_front_imports_nothing_that_parses_models():
    code = "import sys, backlit_server.workers.pool, backlit_server.admission.launcher; print(*sys.modules)"
    modules = set(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout.decode().split())
    assert modules.isdisjoint({"onnx", "onnxruntime", "onnx_graphsurgeon", "PIL", "grpc"})
