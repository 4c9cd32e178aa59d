"""What the client does, without doing it: generators that yield calls and are sent the answers.

The sync and the asyncio shell drive the same flows (as httpx does with its `auth_flow`), so nothing is written twice.
"""

from collections.abc import AsyncIterable, Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from google.protobuf.message import Message

from backlit.devices import Device, read_devices
from backlit.files import ModelFile
from backlit.metrics import Metric, read_metrics
from backlit.preprocessing import Declared, declared
from backlit.weights import WeightedLayer, read_layers
from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import ServerUnavailable, WrongOffset

PAUSES = (0.2, 0.8, 2.0)  # seconds before a broken upload goes on

T = TypeVar("T")
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Call:
    """One remote call: the procedure's name, and the message or messages it is given."""

    rpc: str
    request: Message | Iterable[Message] | AsyncIterable[Message]


@dataclass(frozen=True)
class Pause:
    """A wait, in seconds."""

    seconds: float


Flow = Generator[Call | Pause, Any, T]  # Any: the answer's type is that of the call just yielded


def upload(file: ModelFile, header: pb.UploadHeader, progress: Progress | None) -> Flow[pb.Model]:
    """Sends what the server does not have; a connection that breaks is taken up again where the server stands."""
    # Asked once by itself: a server that was never there is no broken connection.
    yield Call("GetUpload", pb.GetUploadRequest(digest=file.digest))
    for pause in PAUSES:
        try:
            return (yield from _attempt(file, header, progress))
        except (ServerUnavailable, WrongOffset):
            yield Pause(pause)
    return (yield from _attempt(file, header, progress))


def _attempt(file: ModelFile, header: pb.UploadHeader, progress: Progress | None) -> Flow[pb.Model]:
    report = progress or (lambda done, total: None)
    stored = yield Call("GetUpload", pb.GetUploadRequest(digest=file.digest))
    if stored.complete:
        report(file.size, file.size)
        answer = yield Call("Upload", iter([pb.UploadRequest(header=header)]))
    else:
        answer = yield Call("Upload", _parts(file, header, stored.committed, report))
    return answer.model


def _parts(file: ModelFile, header: pb.UploadHeader, offset: int, report: Progress) -> Iterator[pb.UploadRequest]:
    first = pb.UploadRequest(header=header)
    first.header.offset = offset
    yield first
    for chunk in file.chunks(offset):
        yield pb.UploadRequest(chunk=chunk)
        offset += len(chunk)
        report(offset, file.size)


def upload_header(
    file: ModelFile,
    name: str,
    preprocessing: Declared | None,
    class_names: Iterable[str],
) -> pb.UploadHeader:
    """What the server is told before the bytes."""
    return pb.UploadHeader(
        digest=file.digest,
        size=file.size,
        name=name,
        preprocessing=declared(preprocessing),
        class_names=list(class_names),
        files=file.files,
    )


def get(model: str) -> Flow[pb.Model]:
    """One model by name, digest, or the beginning of its digest."""
    answer = yield Call("Get", pb.GetRequest(model=model))
    return answer.model


def list_models() -> Flow[list[pb.Model]]:
    """All models, page by page."""
    models: list[pb.Model] = []
    token = ""
    while True:
        answer = yield Call("List", pb.ListRequest(page_token=token))
        models.extend(answer.models)
        token = answer.next_page_token
        if not token:
            return models


def update(
    model: str,
    name: str | None,
    preprocessing: Declared | None,
    class_names: Iterable[str],
) -> Flow[pb.Model]:
    """Changes what is given, leaves the rest as it is."""
    answer = yield Call(
        "Update",
        pb.UpdateRequest(
            model=model,
            name=name,
            preprocessing=declared(preprocessing),
            class_names=list(class_names),
        ),
    )
    return answer.model


def delete(model: str) -> Flow[None]:
    """Forgets a model."""
    yield Call("Delete", pb.DeleteRequest(model=model))


def list_weights(model: str) -> Flow[list[WeightedLayer]]:
    """The layers whose weights can be read."""
    return read_layers((yield Call("ListWeights", pb.ListWeightsRequest(model=model))))


def get_metrics() -> Flow[dict[str, Metric]]:
    """What the server counts, by name."""
    return read_metrics((yield Call("GetMetrics", pb.GetMetricsRequest())))


def list_devices() -> Flow[list[Device]]:
    """What questions run on."""
    return read_devices((yield Call("ListDevices", pb.ListDevicesRequest())))


def list_methods(model: str) -> Flow[pb.ListMethodsResponse]:
    """The methods, presets and profiles; with a model, whether it can answer each."""
    return (yield Call("ListMethods", pb.ListMethodsRequest(model=model)))
