"""What the bodies of frames hold: questions, answers and refusals, taken apart from their tensors and put together."""

import json
import struct
from collections.abc import Callable, Sequence
from typing import NoReturn

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
    """The body of an answer that is the last of its question, whose story comes with it."""
    return LENGTH.pack(len(story)) + story + body


def heard(arrival: Frame | BacklitError) -> tuple[pb.ExplainResponse | None, bytes | None]:
    """An answer to a question, the story with which it ends, or both; raises what it failed with."""
    if isinstance(arrival, BacklitError):
        raise arrival
    return HEARD[arrival.kind](arrival)


def _last(frame: Frame) -> tuple[pb.ExplainResponse, bytes]:
    (length,) = LENGTH.unpack_from(frame.body)
    story, body = frame.body[LENGTH.size : LENGTH.size + length], frame.body[LENGTH.size + length :]
    return attach_answer(body, frame.blobs), story


def _failed(frame: Frame) -> NoReturn:
    raise unpack_refusal(frame.body)


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


HEARD: dict[Kind, Callable[[Frame], tuple[pb.ExplainResponse | None, bytes | None]]] = {
    Kind.ANSWER: lambda frame: (attach_answer(frame.body, frame.blobs), None),
    Kind.LAST: _last,
    Kind.END: lambda frame: (None, frame.body),
    Kind.FAIL: _failed,
}
