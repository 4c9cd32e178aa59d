"""Several devices, a worker each: one that disappears, one that comes back as another, and what is told of them."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import ServerUnavailable, WorkerLost
from backlit_proto.tensors import to_array
from backlit_server.command_line import read_command
from backlit_server.execution import Execution
from backlit_server.workers.pool import Pool
from waiting import WAIT, until

TOY, SLOW = "ToyExecutionProvider", "SlowExecutionProvider"
pytestmark = pytest.mark.usefixtures("toys_on_the_path")


@asynccontextmanager
async def running(store: Path, engine: str, *flags: str) -> AsyncIterator[Pool]:
    pool = Pool(read_command(["--store", str(store), *flags], {}).settings, engine=f"toy_engines:{engine}")
    await pool.start()
    yield pool
    await pool.stop(0)


async def answered(pool: Pool, method: str) -> np.ndarray:
    async with asyncio.timeout(WAIT):
        asked = pb.ExplainRequest(question=pb.Question(method=method))
        (found,) = [to_array(answer.explanations[0].heatmap) async for answer in pool.explain(asked)]
        return found


def standing(pool: Pool) -> list[tuple[str, str, bool]]:
    return [(device.name, device.provider, device.ready) for device in pool.devices]


async def test_each_device_that_is_named_gets_a_worker(tmp_path: Path):
    async with running(tmp_path, "Toy", "--device", "cuda:0,cuda:1") as pool:
        assert standing(pool) == [("cuda:0", TOY, True), ("cuda:1", TOY, True)]


async def test_one_machine_without_a_gpu_can_have_two_workers(tmp_path: Path):
    async with running(tmp_path, "Toy", "--device", "cpu,cpu") as pool:
        assert standing(pool) == [("cpu", TOY, True), ("cpu (2)", TOY, True)]


async def test_a_device_that_cannot_start_keeps_the_server_from_starting(tmp_path: Path):
    with pytest.raises(ServerUnavailable, match=rf"CUDA is required.*{TOY}"):
        async with running(tmp_path, "Toy", "--device", "cpu,require-cuda:1"):
            pass


async def test_workers_are_told_how_to_compute(tmp_path: Path):
    flags = ("--tf32", "--deterministic", "--precision", "half", "--gpu-memory-mb", "5", "--cpu-memory-mb", "7")
    async with running(tmp_path, "Toy", "--device", "cpu", *flags) as pool:
        told = (await answered(pool, "told")).tobytes().decode()
    assert told == repr(Execution("half", tf32=True, deterministic=True, cpu_memory_mb=7, gpu_memory_mb=5))


async def test_when_a_device_disappears_its_callers_are_told_and_the_others_serve_on(tmp_path: Path):
    """The worker ends as soon as its engine says so, and cannot start again."""
    async with running(tmp_path, "lives_with_its_device", "--device", "cuda:0,cuda:1") as pool:
        with pytest.raises(WorkerLost, match=r"the worker of device cuda:0 died \(exit status 4\)"):
            await answered(pool, "lose")
        await until(lambda: pool.devices[0].note)
        other = {int(await answered(pool, "pid")) for _ in range(5)}
        assert len(other) == 1, "nobody is sent to the device that is gone"
        assert standing(pool) == [("cuda:0", TOY, False), ("cuda:1", TOY, True)]
        assert pool.devices[0].note == "there is no cuda:0 any more"


async def test_a_device_that_is_back_is_asked_again(tmp_path: Path):
    async with running(tmp_path, "lives_with_its_device", "--device", "cuda:0,cuda:1") as pool:
        with pytest.raises(WorkerLost):
            await answered(pool, "lose")
        await until(lambda: pool.devices[0].note)
        (tmp_path / "lost-cuda:0").unlink()
        await until(lambda: pool.devices[0].ready)
        assert pool.devices[0].note == ""


async def test_a_worker_that_comes_back_on_another_provider_is_asked_last(tmp_path: Path):
    async with running(tmp_path, "falls_back", "--device", "cuda:0,cuda:1") as pool:
        with pytest.raises(WorkerLost):
            await answered(pool, "lose")
        await until(lambda: pool.devices[0].ready)
        assert standing(pool) == [("cuda:0", SLOW, True), ("cuda:1", TOY, True)]
        assert pool.devices[0].note == f"it came back on {SLOW} after {TOY}: others are asked first"
        before = {int(await answered(pool, "pid")) for _ in range(5)}
        os.kill(before.pop(), signal.SIGKILL)
        await until(lambda: not pool.devices[1].ready)
        assert int(await answered(pool, "pid")) not in before, "better slowly than not at all"
