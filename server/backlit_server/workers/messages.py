"""What the bodies of frames hold: questions, answers and refusals, taken apart from their tensors and put together."""

import json
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import BacklitError, revive
from backlit_proto.tensors import tensors_in, to_array
from backlit_server.workers.channel import Frame, Kind
from backlit_server.workers.memory import Blob
from backlit_server.workers.terms import Terms, packed, unpacked

LENGTH = struct.Struct("<I")


def detach_question(request: pb.ExplainRequest, terms: Terms) -> tuple[bytes, list[bytes]]:
    """The terms and the request without its tensors' bytes, serialised; and those bytes, in the order of tensors_in."""
    tensors = list(tensors_in(request))
    blobs = [tensor.data for tensor in tensors]
    for tensor in tensors:
        tensor.ClearField("data")
    return packed(terms) + request.SerializeToString(), blobs


def attach_question(body: bytes, blobs: Sequence[Blob]) -> tuple[Terms, pb.ExplainRequest, list[np.ndarray]]:
    """The terms; the request, still without its tensors' bytes; the tensors. BadQuestion where sizes do not fit."""
    terms, rest = unpacked(body)
    request = pb.ExplainRequest.FromString(rest)  # type: ignore[arg-type]  # takes any buffer
    tensors = zip(tensors_in(request), blobs, strict=True)
    return terms, request, [to_array(tensor, memoryview(blob)) for tensor, blob in tensors]


def detach_answer(response: pb.ExplainResponse, heatmaps: Sequence[np.ndarray]) -> tuple[bytes, list[memoryview]]:
    """The response, serialised, and the bytes of its heatmaps."""
    return response.SerializeToString(), [np.ascontiguousarray(h).reshape(-1).view(np.uint8).data for h in heatmaps]


def with_story(story: bytes, body: bytes) -> bytes:
    """The body of what ends a question and says more than its story."""
    return LENGTH.pack(len(story)) + story + body


def without_story(body: bytes) -> tuple[bytes, bytes]:
    """The story, and the rest."""
    (length,) = LENGTH.unpack_from(body)
    return body[LENGTH.size : LENGTH.size + length], body[LENGTH.size + length :]


@dataclass(frozen=True)
class Heard:
    """What one frame tells of a question; the story comes with its end, and so does a refusal."""

    answer: pb.ExplainResponse | None = None
    story: bytes | None = None
    refusal: BacklitError | None = None


def heard(arrival: Frame | BacklitError) -> Heard:
    """What a frame from the worker tells; an error that is none of the worker's comes as it is."""
    return Heard(story=b"", refusal=arrival) if isinstance(arrival, BacklitError) else HEARD[arrival.kind](arrival)


def _last(frame: Frame) -> Heard:
    story, body = without_story(frame.body)
    return Heard(attach_answer(body, frame.blobs), story)


def _failed(frame: Frame) -> Heard:
    story, body = without_story(frame.body)
    return Heard(story=story, refusal=unpack_refusal(body))


def attach_answer(body: bytes, blobs: Sequence[Blob]) -> pb.ExplainResponse:
    """The response with the bytes of its heatmaps."""
    response = pb.ExplainResponse.FromString(body)
    for explanation, data in zip(response.explanations, blobs, strict=True):
        explanation.heatmap.data = bytes(data)
    return response


def pack_refusal(error: BacklitError) -> bytes:
    """The refusal as JSON of reason, message and details."""
    told = {"reason": error.reason(), "message": error.message, "details": error.details}
    return json.dumps(told).encode()


def unpack_refusal(body: bytes) -> BacklitError:
    """The error that was raised in the worker."""
    return revive(**json.loads(body))


HEARD: dict[Kind, Callable[[Frame], Heard]] = {
    Kind.ANSWER: lambda frame: Heard(attach_answer(frame.body, frame.blobs)),
    Kind.LAST: _last,
    Kind.END: lambda frame: Heard(story=frame.body),
    Kind.FAIL: _failed,
}
