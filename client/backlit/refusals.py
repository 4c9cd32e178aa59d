"""What went wrong on the wire, as the class the server raised."""

from collections.abc import Iterable
from typing import Protocol

import grpc

from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import (
    BacklitError,
    BadQuestion,
    Busy,
    CorruptModel,
    DeadlineExceeded,
    InternalError,
    NotAuthenticated,
    NotExplainable,
    Overloaded,
    ServerUnavailable,
    UnknownModel,
    WrongOffset,
    revive,
)

DETAILS = "grpc-status-details-bin"
DOMAIN = "backlit.v1"

# For answers that carry no reason: what gRPC itself or a proxy between says.
BY_CODE: dict[grpc.StatusCode, tuple[type[BacklitError], str]] = {
    grpc.StatusCode.UNAVAILABLE: (
        ServerUnavailable,
        "no server at {address}: start one with `backlit-server`, or check the address and TLS ({details})",
    ),
    grpc.StatusCode.DEADLINE_EXCEEDED: (
        DeadlineExceeded,
        "{address} did not answer within the timeout; give a longer one with timeout=SECONDS",
    ),
    grpc.StatusCode.UNIMPLEMENTED: (ServerUnavailable, "what listens at {address} is no backlit server ({details})"),
    grpc.StatusCode.CANCELLED: (ServerUnavailable, "{address} broke the call off ({details})"),
    # backlit's own defects carry a reason: without one, it is gRPC that lost the connection while it wrote.
    grpc.StatusCode.INTERNAL: (ServerUnavailable, "the connection to {address} broke ({details})"),
    grpc.StatusCode.UNAUTHENTICATED: (NotAuthenticated, "{address}: {details}"),
    grpc.StatusCode.PERMISSION_DENIED: (NotAuthenticated, "{address}: {details}"),
    # Likewise: what gRPC itself refuses is too large a message.
    grpc.StatusCode.RESOURCE_EXHAUSTED: (
        Overloaded,
        "{address}: {details}; send fewer images at once, or start the server with a larger --max-message-mb",
    ),
    grpc.StatusCode.INVALID_ARGUMENT: (BadQuestion, "{details}"),
    grpc.StatusCode.NOT_FOUND: (UnknownModel, "{details}"),
    grpc.StatusCode.FAILED_PRECONDITION: (NotExplainable, "{details}"),
    grpc.StatusCode.ABORTED: (Busy, "{details}"),
    grpc.StatusCode.OUT_OF_RANGE: (WrongOffset, "{details}"),
    grpc.StatusCode.DATA_LOSS: (CorruptModel, "{details}"),
}


class Failure(Protocol):
    """What an RpcError of the sync and of the asyncio stack have in common."""

    def code(self) -> grpc.StatusCode: ...
    def details(self) -> str | None: ...
    def trailing_metadata(self) -> Iterable[tuple[str, str | bytes]] | None: ...


def from_call(failure: Failure, address: str) -> BacklitError:
    """The error a failed call stands for: by its reason, or by its status code where it has none."""
    trailer = dict(failure.trailing_metadata() or ()).get(DETAILS)
    if isinstance(trailer, bytes):
        status = pb.Status.FromString(trailer)
        if info := _info(status):
            return revive(info.reason, status.message or failure.details() or "", dict(info.metadata))
    kind, text = BY_CODE.get(failure.code(), (InternalError, "{address}: {details}"))
    return kind(text.format(address=address, details=failure.details() or failure.code().name))


def from_status(status: pb.Status) -> BacklitError:
    """The error of one item of a stream of questions."""
    info = _info(status)
    return revive(info.reason, status.message, dict(info.metadata)) if info else InternalError(status.message)


def _info(status: pb.Status) -> pb.ErrorInfo | None:
    """backlit's own ErrorInfo among the details: those of proxies have another domain."""
    found = (
        pb.ErrorInfo.FromString(detail.value)
        for detail in status.details
        if detail.type_url.endswith("/google.rpc.ErrorInfo")
    )
    return next((info for info in found if info.domain == DOMAIN), None)
