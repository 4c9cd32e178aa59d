"""Workers in real processes: what callers see when all goes well, and when a worker does not."""

import logging
import os
import signal
import subprocess
import sys
from contextlib import aclosing

import numpy as np
import pytest

from backlit_proto.errors import BadQuestion, InternalError, Overloaded
from backlit_server.workers.pool import Pool
from backlit_server.workers.terms import Terms
from toys import answers, children, number, question, rest
from waiting import WAIT, until


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


async def test_the_story_of_a_question_is_told_when_it_has_ended(pool):
    heard = []
    async for _ in pool.explain(question("many", answers=2), hear=heard.append):
        assert not heard
    async for _ in pool.explain(question("whole", answers=2), hear=heard.append):
        assert len(heard) == 1
    for story in heard:
        assert story.stages.keys() == {"queue", "method", "encode"}
        assert 0 < sum(stage.seconds for stage in story.stages.values()) < WAIT
    with pytest.raises(BadQuestion):
        await rest(pool.explain(question("refuse"), hear=heard.append))
    assert len(heard) == 3
    assert heard[2].stages.keys() == {"queue", "method"}, "what is known of one that was refused"


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


def test_the_front_imports_nothing_that_parses_models():
    code = "import sys, backlit_server.workers.pool, backlit_server.admission.launcher; print(*sys.modules)"
    modules = set(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout.decode().split())
    assert modules.isdisjoint({"onnx", "onnxruntime", "onnx_graphsurgeon", "PIL", "grpc"})
