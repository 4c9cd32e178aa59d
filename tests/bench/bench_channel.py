"""What the wall between front and worker costs: `python tests/bench/bench_channel.py` prints a table."""

import asyncio
import logging
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from pathlib import Path

import numpy as np

from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import WorkerLost
from backlit_proto.tensors import to_tensor
from backlit_server.settings import Settings
from backlit_server.workers.channel import Channel, Frame, Kind
from backlit_server.workers.pool import Pool

IMAGE = np.random.default_rng(0).normal(size=(1, 3, 224, 224)).astype(np.float32)
HEATMAP = np.ones((7, 7), np.float32)
ROUNDS = 2000
DEATHS = 20


def main() -> None:
    """Medians and tails in microseconds, of this machine as busy as it is."""
    os.environ["PYTHONPATH"] = str(Path(__file__).parents[1])  # where workers find the toy engines
    logging.disable()  # 20 deaths are no news here
    print(f"{'one round trip':58} {'p50 us':>9} {'p99 us':>9}")
    report("copy 602 KB in memory, for scale", timed(lambda: IMAGE.copy()))
    with echoing() as trip:
        report("channel, 4 bytes in, 196 bytes out", timed(lambda: trip(b"four")))
        image = IMAGE.tobytes()
        report("channel, 602 KB in, 196 bytes out", timed(lambda: trip(image)))
    asyncio.run(pool_figures())


async def pool_figures() -> None:
    """The same through the pool, event loop and threads of both sides included, and what a death costs."""
    with tempfile.TemporaryDirectory() as folder:
        async with serving(Settings(store=Path(folder), device="cpu")) as pool:
            small, large = question("many", answers=1), question("many", IMAGE, answers=1)
            report("pool, no tensor in, 196 bytes out", [await first_answer(pool, small) for _ in range(ROUNDS)])
            report("pool, 602 KB in, 196 bytes out", [await first_answer(pool, large) for _ in range(ROUNDS)])
            deaths = [await death(pool) for _ in range(DEATHS)]
            report("killed worker: until its caller is told", [told for told, _ in deaths])
            report("killed worker: until the next question is answered", [served for _, served in deaths])


def report(what: str, seconds: list[float]) -> None:
    p50, p99 = np.percentile(np.array(seconds) * 1e6, [50, 99])
    print(f"{what:58} {p50:9.0f} {p99:9.0f}")


def timed(action: Callable[[], object]) -> list[float]:
    """Seconds of each of ROUNDS calls."""
    return [seconds(action) for _ in range(ROUNDS)]


def seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


@contextmanager
def echoing() -> Iterator[Callable[[bytes], Frame]]:
    """A round trip to a process that answers every frame with a heatmap, and nothing around the channel."""
    ours, theirs = socket.socketpair()
    child = os.fork()
    if not child:
        ours.close()
        answer_until_closed(Channel(theirs))
    theirs.close()
    channel = Channel(ours)

    def trip(blob: bytes) -> Frame:
        channel.send(Frame(Kind.EXPLAIN, 1, b"question", [blob]))
        return channel.receive()

    yield trip
    channel.shutdown()
    os.waitpid(child, 0)
    channel.close()


def answer_until_closed(channel: Channel) -> None:
    try:
        while True:
            frame = channel.receive()
            channel.send(Frame(Kind.ANSWER, frame.question, b"answer", [HEATMAP.tobytes()]))
    except EOFError:
        os._exit(0)


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[Pool]:
    pool = Pool(settings, engine="toy_engines:Toy")
    await pool.start()
    yield pool
    await pool.stop(1)


def question(method: str, *tensors: np.ndarray, answers: int = 0) -> pb.ExplainRequest:
    inputs = {f"x{number}": to_tensor(tensor) for number, tensor in enumerate(tensors)}
    return pb.ExplainRequest(question=pb.Question(method=method, layer=str(answers)), inputs=inputs)


async def first_answer(pool: Pool, asked: pb.ExplainRequest) -> float:
    """Seconds from the question to its heatmap; the stream is read to its end, as a caller does."""
    request = pb.ExplainRequest()
    request.CopyFrom(asked)
    start = time.perf_counter()
    async with aclosing(pool.explain(request)) as answers:
        await anext(answers)
        took = time.perf_counter() - start
        async for _ in answers:
            sys.exit("there was to be one answer")
    return took


async def death(pool: Pool) -> tuple[float, float]:
    """Seconds from a worker's death until its caller knows, and until another is answered."""
    async with aclosing(pool.explain(question("pid"))) as answers:
        heatmap = (await anext(answers)).explanations[0].heatmap
        worker = int(np.frombuffer(heatmap.data, np.int64)[0])
    async with aclosing(pool.explain(question("deaf_run"))) as answers:
        await anext(answers)
        start = time.perf_counter()
        os.kill(worker, signal.SIGKILL)
        try:
            await anext(answers)
        except WorkerLost:
            told = time.perf_counter() - start
        else:
            sys.exit("the worker outlived its kill")
    await first_answer(pool, question("pid"))
    return told, time.perf_counter() - start


if __name__ == "__main__":
    main()
