"""What the bodies of frames hold: questions, answers and refusals, taken apart from their tensors and put together."""

import json
from collections.abc import Sequence

import numpy as np

from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import BacklitError, revive
from backlit_proto.tensors import tensors_in, to_array
from backlit_server.workers.memory import Blob


def detach_question(request: pb.ExplainRequest) -> tuple[bytes, list[bytes]]:
    """Takes the tensors' bytes out of a request: the rest, serialised, and those bytes in the order of tensors_in."""
    tensors = list(tensors_in(request))
    blobs = [tensor.data for tensor in tensors]
    for tensor in tensors:
        tensor.ClearField("data")
    return request.SerializeToString(), blobs


def attach_question(body: bytes, blobs: Sequence[Blob]) -> tuple[pb.ExplainRequest, list[np.ndarray]]:
    """The request, still without its tensors' bytes, and the tensors; BadQuestion where sizes do not fit."""
    request = pb.ExplainRequest.FromString(body)
    tensors = zip(tensors_in(request), blobs, strict=True)
    return request, [to_array(tensor, memoryview(blob)) for tensor, blob in tensors]


def detach_answer(response: pb.ExplainResponse, heatmaps: Sequence[np.ndarray]) -> tuple[bytes, list[memoryview]]:
    """The response, serialised, and the bytes of its heatmaps."""
    return response.SerializeToString(), [np.ascontiguousarray(h).reshape(-1).view(np.uint8).data for h in heatmaps]


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
