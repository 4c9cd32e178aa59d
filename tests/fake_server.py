"""A server made of answers: what the client's behaviour on the wire is tested against."""

import _thread
import contextlib
import hashlib
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import grpc
import numpy as np

import backlit
from backlit_proto import backlit_pb2 as pb
from backlit_proto.backlit_pb2_grpc import (
    ExplanationServiceServicer,
    ModelServiceServicer,
    add_ExplanationServiceServicer_to_server,
    add_ModelServiceServicer_to_server,
)
from backlit_proto.tensors import to_tensor

WAIT = 20  # seconds, for what happens at once
CARD = pb.Card(
    inputs=[pb.Input(tensor=pb.TensorSpec(name="x", data_type=pb.DATA_TYPE_FLOAT32, shape=[-1, 2]))],
    scores=pb.Scores(tensor=pb.TensorSpec(name="y", data_type=pb.DATA_TYPE_FLOAT32, shape=[-1, 3])),
)


def status_of(error: backlit.BacklitError) -> pb.Status:
    info = pb.ErrorInfo(reason=error.reason(), domain="backlit.v1", metadata=error.details)
    status = pb.Status(code=grpc.StatusCode[error.code].value[0], message=error.message)
    detail = status.details.add()
    detail.type_url, detail.value = "type.googleapis.com/google.rpc.ErrorInfo", info.SerializeToString()
    return status


def refuse(context: grpc.ServicerContext, error: backlit.BacklitError) -> None:
    context.set_trailing_metadata((("grpc-status-details-bin", status_of(error).SerializeToString()),))
    context.abort(grpc.StatusCode[error.code], error.message)


@dataclass
class Models(ModelServiceServicer):
    """Keeps what is uploaded; `breaks` are the byte counts at which the connection breaks."""

    breaks: list[int] = field(default_factory=list)
    stored: bytes = b""
    headers: list[pb.UploadHeader] = field(default_factory=list)
    metadata: list[tuple[str, str]] = field(default_factory=list)
    refusal: backlit.BacklitError | None = None
    cancelled: threading.Event = field(default_factory=threading.Event)

    def GetUpload(self, request, context):  # noqa: N802  # as the contract spells it
        whole = hashlib.sha256(self.stored).hexdigest() == request.digest
        return pb.GetUploadResponse(committed=0 if whole else len(self.stored), complete=whole)

    def Upload(self, request_iterator, context):  # noqa: N802  # as the contract spells it
        self.headers.append(next(request_iterator).header)
        for request in request_iterator:
            self.stored += request.chunk
            if self.breaks and len(self.stored) >= self.breaks[0]:
                self.breaks.pop(0)
                context.abort(grpc.StatusCode.UNAVAILABLE, "the connection broke")
        header = self.headers[-1]
        if hashlib.sha256(self.stored).hexdigest() != header.digest:
            refuse(context, backlit.BadUpload("the bytes are not those of the digest"))
        return pb.UploadResponse(model=pb.Model(digest=header.digest, size=len(self.stored), card=CARD))

    def Get(self, request, context):  # noqa: N802  # as the contract spells it
        self.metadata.extend((m.key, m.value) for m in context.invocation_metadata())
        if self.refusal:
            refuse(context, self.refusal)
        return pb.GetResponse(model=pb.Model(digest="d1", name=request.model, card=CARD))

    def List(self, request, context):  # noqa: N802  # as the contract spells it
        page = int(request.page_token or 0)
        return pb.ListResponse(models=[pb.Model(digest=f"d{page}")], next_page_token=str(page + 1) if page < 2 else "")

    def Delete(self, request, context):  # noqa: N802  # as the contract spells it
        context.add_callback(self.cancelled.set)
        if request.model == "interrupt":
            interrupt_waiting_main()
        self.cancelled.wait(WAIT)
        return pb.DeleteResponse()

    def Export(self, request, context):  # noqa: N802  # as the contract spells it
        digest = hashlib.sha256(b"abcdef").hexdigest()
        yield pb.ExportResponse(chunk=b"abc", size=6, digest=digest)
        yield pb.ExportResponse(chunk=b"def" if request.layer == "" else b"dEf")


@dataclass
class Explanations(ExplanationServiceServicer):
    """Answers each image with a map of its first value; method "slow" never ends."""

    cancelled: threading.Event = field(default_factory=threading.Event)

    def Explain(self, request, context):  # noqa: N802  # as the contract spells it
        context.add_callback(self.cancelled.set)
        yield from self._maps(request, 0.5 if request.question.method == "slow" else 1)
        if request.question.method == "slow":
            self.cancelled.wait(WAIT)

    def ExplainMany(self, request_iterator, context):  # noqa: N802  # as the contract spells it
        for asked in request_iterator:
            if asked.request.question.method == "unknown":
                status = status_of(backlit.BadQuestion("no method 'unknown'", method="unknown"))
                yield pb.ExplainManyResponse(item=asked.item, status=status)
                continue
            for response in self._maps(asked.request, 1):
                yield pb.ExplainManyResponse(item=asked.item, response=response)
            yield pb.ExplainManyResponse(item=asked.item, status=pb.Status())

    @staticmethod
    def _maps(request: pb.ExplainRequest, progress: float) -> Iterator[pb.ExplainResponse]:
        x = np.frombuffer(request.inputs["x"].data, np.float32).reshape(-1, 2)
        for image, row in enumerate(x):
            heatmap = to_tensor(row[:1].reshape(1, 1))
            yield pb.ExplainResponse(explanations=[pb.Explanation(heatmap=heatmap, image=image)], progress=progress)


@dataclass(frozen=True)
class Fake:
    models: Models
    explanations: Explanations
    address: str


@contextlib.contextmanager
def fake_server() -> Iterator[Fake]:
    """A listening server, for one test."""
    models, explanations = Models(), Explanations()
    server = grpc.server(ThreadPoolExecutor(8))
    add_ModelServiceServicer_to_server(models, server)
    add_ExplanationServiceServicer_to_server(explanations, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield Fake(models, explanations, f"127.0.0.1:{port}")
    server.stop(None).wait(WAIT)


def interrupt_waiting_main() -> None:
    """Ctrl-C, to a caller who waits: in the middle of grpc's own bookkeeping it would leave a call behind."""
    waits_until = time.monotonic() + WAIT
    while sys._current_frames()[threading.main_thread().ident or 0].f_code.co_name != "wait":
        assert time.monotonic() < waits_until, "the caller never came to wait"
        time.sleep(0.01)
    _thread.interrupt_main()
