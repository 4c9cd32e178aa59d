"""The one place where errors become a status: the code, the message and the reason, for a call or an item of one."""

import logging
from typing import NoReturn

import grpc
from google.protobuf.any_pb2 import Any

from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import BacklitError, InternalError

LOG = logging.getLogger(__name__)
DOMAIN = "backlit.v1"
DETAILS_KEY = "grpc-status-details-bin"
REQUEST_KEY = "x-request-id"
CODES = {code.name: code for code in grpc.StatusCode}

# From 8 KB of metadata on, gRPC drops calls at random. The message is in it twice: in the details in base64, and as
# it is with three bytes for each that is not ASCII. So at worst: 3 * 1200 + 4/3 * (1200 + 6 * 170), under 7 KB.
LONGEST_MESSAGE = 1200
LONGEST_DETAIL = 150
MOST_DETAILS = 6


def known(error: Exception, request_id: str) -> BacklitError:
    """The error as the caller may see it: a defect of ours is told in full only to the log."""
    if isinstance(error, BacklitError):
        return error
    LOG.error("a defect of the server: %s", error, exc_info=error)
    return InternalError(
        f"the server failed on this request; its log tells why, under request id {request_id}", request=request_id
    )


def status_of(error: BacklitError) -> pb.Status:
    """The status that a client revives the error from."""
    details = list(error.details.items())[:MOST_DETAILS]
    info = pb.ErrorInfo(
        reason=error.reason(), domain=DOMAIN, metadata={key: shortened(v, LONGEST_DETAIL) for key, v in details}
    )
    return pb.Status(
        code=CODES[error.code].value[0],
        message=shortened(error.message, LONGEST_MESSAGE),
        details=[Any(type_url="type.googleapis.com/google.rpc.ErrorInfo", value=info.SerializeToString())],
    )


def shortened(text: str, longest: int) -> str:
    """At most so many bytes of UTF-8, never a part of a character."""
    data = str(text).encode("utf-8", "replace")
    return data.decode() if len(data) <= longest else data[:longest].decode("utf-8", "ignore") + " ..."


async def abort(context: grpc.aio.ServicerContext, error: BacklitError, request_id: str) -> NoReturn:
    """Ends the call with the error's status."""
    status = status_of(error)
    trailer = ((DETAILS_KEY, status.SerializeToString()), (REQUEST_KEY, request_id))
    await context.abort(CODES[error.code], status.message, trailing_metadata=trailer)
