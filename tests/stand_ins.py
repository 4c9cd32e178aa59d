"""A server whose workers and admission are a few lines, and what its callers need."""

import asyncio
import functools
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest

import waiting
from backlit_proto import backlit_pb2 as pb
from backlit_proto import backlit_pb2_grpc as services
from backlit_proto.errors import (
    BacklitError,
    BadModel,
    BadQuestion,
    Busy,
    WorkerLost,
    revive,
)
from backlit_server.execution import Execution
from backlit_server.methods import METHODS
from backlit_server.service.server import listening, stopped
from backlit_server.settings import MB, Settings
from backlit_server.story import Hear
from backlit_server.workers.figures import Figure
from backlit_server.workers.terms import ANYBODY, Terms

SECONDS = 20  # before a test that waits for something gives up
BYTES = b"model bytes " * 300_000
DIGEST = hashlib.sha256(BYTES).hexdigest()
NO_CAM = "the head is not pooling + linear"
CARD = pb.Card(
    scores=pb.Scores(tensor=pb.TensorSpec(name="scores", shape=[-1, 3])),
    methods=[
        pb.MethodSupport(method=name, available=name != "cam", why_not=NO_CAM if name == "cam" else "")
        for name in METHODS
    ],
)

WEIGHTS = pb.Weights(tensor=pb.TensorSpec(name="w", data_type=pb.DATA_TYPE_UINT8, shape=[len(BYTES)]), node="conv")


@dataclass(frozen=True)
class FakeDevice:
    name: str = "cpu"
    provider: str = "CPUExecutionProvider"
    ready: bool = True
    starts: int = 1
    note: str = ""
    execution: Execution = field(default_factory=Execution)


@dataclass
class FakePool:
    """Answers by the name of the method: so many heatmaps, an error, or nothing for ever."""

    devices: list[FakeDevice] = field(default_factory=lambda: [FakeDevice()])
    asked: list[pb.ExplainRequest] = field(default_factory=list)
    terms: list[Terms] = field(default_factory=list)
    forgotten: list[str] = field(default_factory=list)
    working: int = 0
    answered: int = 0
    released: asyncio.Event = field(default_factory=asyncio.Event)

    async def start(self) -> None: ...
    async def stop(self, grace: float) -> None: ...

    def forget(self, digest: str) -> None:
        self.forgotten.append(digest)

    async def figures(self) -> list[tuple[str, list[Figure]]]:
        return []

    async def explain(
        self, request: pb.ExplainRequest, terms: Terms = ANYBODY, hear: Hear = lambda story: None
    ) -> AsyncGenerator[pb.ExplainResponse, None]:
        self.asked.append(request)
        self.terms.append(terms)
        self.working += 1
        try:
            if request.question.method in FAILURES:
                raise FAILURES[request.question.method]
            for i in range(1_000_000 if request.question.method == "endless" else 3):
                target = pb.ResolvedTarget(class_index=i)
                heatmap = pb.Tensor(data=bytes(100_000))
                self.answered += 1
                yield pb.ExplainResponse(explanations=[pb.Explanation(target=target, heatmap=heatmap)], progress=1)
                if request.question.method == "pausing":
                    await self.released.wait()
        finally:
            self.working -= 1


FAILURES = {
    "lost": WorkerLost("the worker died", worker="0"),
    "defect": RuntimeError("secret path /var/lib/secret\n\x1b[31m"),
    "overlong": BadQuestion("é" * 10_000, **{f"detail{i}": "x" * 10_000 for i in range(100)}),
}


@dataclass
class FakeAdmission:
    """Accepts every file but those that say they are bad."""

    examined: list[Path] = field(default_factory=list)
    exported: list[tuple[str, str]] = field(default_factory=list)
    pause: asyncio.Event | None = None
    card: pb.Card = field(default_factory=lambda: CARD)

    async def examine(self, model: Path, settings: Settings) -> pb.Card:
        self.examined.append(model)
        if self.pause:
            await self.pause.wait()
        if model.read_bytes().startswith(b"bad"):
            raise BadModel("this is not an ONNX file")
        return self.card

    async def export(self, model: Path, out: Path, asked: pb.ExportRequest, settings: Settings) -> None:
        self.exported.append((asked.layer, asked.method or "grad-cam"))
        out.write_bytes(b"exported " + model.read_bytes())

    async def list_weights(self, model: Path, settings: Settings) -> pb.ListWeightsResponse:
        return pb.ListWeightsResponse(weights=[WEIGHTS])

    async def weights(self, model: Path, out: Path, layer: str, settings: Settings) -> pb.Weights:
        out.write_bytes(model.read_bytes())
        if layer != WEIGHTS.node:
            raise BadQuestion(f"no convolution or dense layer is called {layer!r}")
        return WEIGHTS


@dataclass
class House:
    """A server that answers, and a channel to it."""

    pool: FakePool
    admission: FakeAdmission
    channel: grpc.aio.Channel
    address: str

    @property
    def models(self) -> services.ModelServiceStub:
        return services.ModelServiceStub(self.channel)

    @property
    def explanations(self) -> services.ExplanationServiceStub:
        return services.ExplanationServiceStub(self.channel)

    @property
    def metrics(self) -> services.MetricsServiceStub:
        return services.MetricsServiceStub(self.channel)


@asynccontextmanager
async def open_house(store: Path, **told) -> AsyncIterator[House]:
    pool, admission = FakePool(), FakeAdmission()
    front = await listening(Settings(port=0, store=store, **told), pool, admission)
    front.calls.begin()
    async with grpc.aio.insecure_channel(front.address) as channel:
        yield House(pool, admission, channel, front.address)
    await stopped(front, 0)
    # The server's destructor wants a loop to run in: it must be gone before this test's loop is closed.
    del front
    await asyncio.sleep(0)


def upload_parts(data: bytes, *, offset: int = 0, **header) -> list[pb.UploadRequest]:
    told = {"digest": hashlib.sha256(data).hexdigest(), "size": len(data), "offset": offset} | header
    chunks = [data[start : start + MB] for start in range(offset, len(data), MB)]
    return [
        pb.UploadRequest(header=pb.UploadHeader(**told)),
        *(pb.UploadRequest(chunk=chunk) for chunk in chunks),
    ]


async def upload(house: House, data: bytes = BYTES, **header) -> pb.UploadResponse:
    return await house.models.Upload(iter(upload_parts(data, **header)), timeout=SECONDS)


async def patient_upload(house: House, **header) -> pb.UploadResponse:
    """An upload that waits until the server has noticed that the one before was broken off."""
    async with asyncio.timeout(SECONDS):
        while True:
            try:
                return await upload(house, **header)
            except grpc.aio.AioRpcError as error:
                if not isinstance(revived(error), Busy):
                    raise


def revived(error: grpc.aio.AioRpcError) -> BacklitError:
    """The error as a client sees it, its status checked against its reason."""
    trailer = dict(error.trailing_metadata() or ())
    details = trailer["grpc-status-details-bin"]
    assert isinstance(details, bytes)
    status = pb.Status.FromString(details)
    info = pb.ErrorInfo()
    assert status.details[0].type_url == "type.googleapis.com/google.rpc.ErrorInfo"
    info.ParseFromString(status.details[0].value)
    assert info.domain == "backlit.v1"
    found = revive(info.reason, status.message, dict(info.metadata))
    assert (error.code().name, error.code().value[0], error.details()) == (found.code, status.code, found.message)
    return found


async def refusal(call) -> BacklitError:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    return revived(refused.value)


async def collected(call) -> list:
    return [response async for response in call]


until = functools.partial(waiting.until, seconds=SECONDS)


def question(model: str = "demo", **told) -> pb.ExplainRequest:
    return pb.ExplainRequest(question=pb.Question(model=model, **told))
