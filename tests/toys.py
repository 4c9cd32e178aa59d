"""Questions to a pool of toy engines, and what their workers hold meanwhile."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np

from backlit_proto import backlit_pb2 as pb
from backlit_proto.tensors import to_array, to_tensor
from backlit_server.workers.pool import Pool
from waiting import WAIT, until


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
