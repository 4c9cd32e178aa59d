"""Callers who ask too much, send too much or do not listen: a real server keeps its memory and serves the others."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import grpc
import numpy as np
import pytest
import pytest_asyncio

import backlit
from accounts import processor_seconds, resident_mb, server_processes
from backlit_proto import backlit_pb2 as pb
from backlit_proto import backlit_pb2_grpc as services
from backlit_proto.tensors import to_array, to_tensor
from processes import Health, health
from real_server import real_server
from stand_ins import SECONDS
from written import CNN, written

rng = np.random.default_rng(31)
WEIGHTS = {"w": rng.normal(size=(4, 3, 3, 3)).astype(np.float32), "d": rng.normal(size=(4, 5)).astype(np.float32)}
X = rng.normal(size=(1, 3, 128, 128)).astype(np.float32)
PLACES = 4  # questions in flight
ROOM = 300  # MB by which the server may grow
UNREAD = 30  # MB by which the front may grow for a caller who does not read: 4 MB are on their way, 4 wait behind them

Explanations = services.ExplanationServiceStub


@pytest.fixture(scope="module")
def address(store: Path):
    with real_server(store, "--max-questions", str(PLACES), "--max-message-mb", "2") as address:
        with backlit.connect(address) as server:
            server.upload(written(store / "net.onnx", CNN, **WEIGHTS), name="net")
        yield address


@pytest_asyncio.fixture
async def channel(address: str) -> AsyncIterator[grpc.aio.Channel]:
    async with connection(address) as opened:
        yield opened


@pytest.fixture
def grown(store: Path) -> Callable[[], float]:
    """By how many MB front and worker have grown since the test began."""
    pids = server_processes(store).values()
    before = sum(map(resident_mb, pids))
    return lambda: sum(map(resident_mb, pids)) - before


def connection(address: str) -> grpc.aio.Channel:
    """A connection of its own: channels of one process share them otherwise."""
    return grpc.aio.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)])


def question(x: np.ndarray = X, method: str = "grad-cam", **parameters) -> pb.ExplainRequest:
    asked = pb.Question(model="net", method=method, targets=[pb.Target(class_index=2)])
    asked.parameters.update(parameters)
    return pb.ExplainRequest(question=asked, inputs={"": to_tensor(x)})


async def heatmap(channel: grpc.aio.Channel, asked: pb.ExplainRequest) -> np.ndarray:
    async with asyncio.timeout(SECONDS):
        (answer,) = [answer async for answer in Explanations(channel).Explain(asked)]
    return to_array(answer.explanations[0].heatmap)


def expected(x: np.ndarray = X) -> np.ndarray:
    """Grad-CAM where the head is pooling + linear: the weights of the class over the number of places, by numpy."""
    padded = np.pad(x[0], ((0, 0), (1, 1), (1, 1)))
    patches = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
    features = np.einsum("chwij,kcij->khw", patches, WEIGHTS["w"]).clip(0)
    return np.einsum("khw,k->hw", features, WEIGHTS["d"][:, 2]) / features[0].size


async def served(address: str) -> None:
    """A caller from outside is answered rightly, and the server calls itself healthy."""
    async with connection(address) as another:
        assert np.allclose(await heatmap(another, question()), expected(), atol=1e-6)
        assert await health(another) == Health.SERVING


async def test_of_a_flood_everybody_is_served_who_comes_back_when_told_to(address, grown):
    refusals = []

    async def caller() -> np.ndarray:
        async with connection(address) as channel:
            while True:
                try:
                    return await heatmap(channel, question())
                except grpc.aio.AioRpcError as refused:
                    refusals.append(refused)
                    await asyncio.sleep(retry_seconds(refused))

    async with asyncio.timeout(SECONDS):
        found = await asyncio.gather(*(caller() for _ in range(15 * PLACES)))
    assert all(np.allclose(each, expected(), atol=1e-6) for each in found)
    assert {refused.code() for refused in refusals} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
    await served(address)
    assert grown() < ROOM


def retry_seconds(refused: grpc.aio.AioRpcError) -> float:
    """What google.rpc.RetryInfo says."""
    trailer = dict(refused.trailing_metadata() or ())["grpc-status-details-bin"]
    assert isinstance(trailer, bytes)
    (info,) = [detail for detail in pb.Status.FromString(trailer).details if detail.type_url.endswith("RetryInfo")]
    return pb.RetryInfo.FromString(info.value).retry_delay.ToTimedelta().total_seconds()


async def test_callers_who_never_read_cost_no_memory_and_nobody_else_waits_for_them(address, channel, store, grown):
    """Forty images, the maps of five classes each, enlarged to 4 MB: 800 MB a caller, if anybody kept them."""
    asked = question(np.ones((40, 3, 64, 64), np.float32))
    asked.question.targets[0].all = True
    asked.question.rendering.CopyFrom(pb.Rendering(size="SIZE_EXPLICIT", height=1024, width=1024))
    front = resident_mb(server_processes(store)["front"])
    unread = [Explanations(channel).Explain(asked) for _ in range(PLACES - 1)]
    for call in unread:
        await call.wait_for_connection()
    await served(address)
    await at_rest(server_processes(store)["worker"])
    assert not any(call.done() for call in unread)
    assert resident_mb(server_processes(store)["front"]) - front < UNREAD * len(unread)
    assert grown() < ROOM
    await served(address)
    for call in unread:
        call.cancel()


async def at_rest(worker: int) -> None:
    """Waits until a process works no more."""
    async with asyncio.timeout(SECONDS):
        before = -1.0
        while (spent := processor_seconds(worker)) != before:
            before = spent
            await asyncio.sleep(0.5)


async def test_who_sends_without_end_and_never_reads_is_made_to_wait(address, channel, grown):
    """Items of 196 kB, each answered with a map of 64 kB."""
    call = Explanations(channel).ExplainMany()
    sent, item = 0, pb.ExplainManyRequest(request=question())
    try:
        while sent < 5000:
            async with asyncio.timeout(1):
                await call.write(item)
            sent += 1
    except TimeoutError:
        await served(address)
    assert 0 < sent < 5000
    assert grown() < ROOM
    call.cancel()


@pytest.mark.parametrize("rpc", ["Explain", "ExplainMany"])
async def test_a_request_beyond_the_limit_is_refused_and_the_connection_serves_on(channel, rpc):
    x = np.zeros((1, 3, 512, 512), np.float32)  # 3.1 MB
    calls = {
        "Explain": lambda: Explanations(channel).Explain(question(x)),
        "ExplainMany": lambda: Explanations(channel).ExplainMany(iter([pb.ExplainManyRequest(request=question(x))])),
    }
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        async with asyncio.timeout(SECONDS):
            [answer async for answer in calls[rpc]()]
    assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert np.allclose(await heatmap(channel, question()), expected(), atol=1e-6)


def test_the_client_says_what_to_do_about_a_request_beyond_the_limit(address):
    with backlit.connect(address) as server:
        with pytest.raises(backlit.Overloaded, match=r"larger than max .* send fewer images at once"):
            server.model("net").explain(np.zeros((8, 3, 224, 224), np.float32))
        assert len(server.model("net").explain(X)) == 1


async def test_shapes_that_change_with_every_call_open_no_sessions_and_fill_no_memory(channel, grown):
    digests = set()
    shapes = [(count, 3, 32 + 7 * (k % 19), 32 + 5 * (k % 23)) for k in range(200) for count in (1, 2)]
    for shape in shapes:
        asked = question(rng.normal(size=shape).astype(np.float32))
        (answer,) = [answer async for answer in Explanations(channel).Explain(asked, timeout=SECONDS)]
        assert [list(found.heatmap.shape) for found in answer.explanations] == [list(shape[2:])] * shape[0]
        digests.add(answer.provenance.graph_digest)
    assert len(set(shapes)) == 400
    assert len(digests) == 1
    assert grown() < ROOM
