"""The one place where errors become a status: the code, the message and the reason, for a call or an item of one."""

import logging
from datetime import timedelta
from typing import NoReturn

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import BacklitError, InternalError, Overloaded

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
    status = pb.Status(code=CODES[error.code].value[0], message=shortened(error.message, LONGEST_MESSAGE))
    status.details.append(_packed("ErrorInfo", info))
    if isinstance(error, Overloaded) and error.retry_seconds is not None:
        wait = Duration()
        wait.FromTimedelta(timedelta(seconds=error.retry_seconds))
        status.details.append(_packed("RetryInfo", pb.RetryInfo(retry_delay=wait)))
    return status


def _packed(name: str, message: Message) -> Any:
    """A detail under the name by which clients of any language know it."""
    return Any(type_url=f"type.googleapis.com/google.rpc.{name}", value=message.SerializeToString())


def shortened(text: str, longest: int) -> str:
    """At most so many bytes of UTF-8, never a part of a character."""
    data = str(text).encode("utf-8", "replace")
    return data.decode() if len(data) <= longest else data[:longest].decode("utf-8", "ignore") + " ..."


async def abort(context: grpc.aio.ServicerContext, error: BacklitError, request_id: str) -> NoReturn:
    """Ends the call with the error's status."""
    status = status_of(error)
    trailer = ((DETAILS_KEY, status.SerializeToString()), (REQUEST_KEY, request_id))
    await context.abort(CODES[error.code], status.message, trailing_metadata=trailer)
