"""What goes wrong with a question, as its caller may see it."""

import logging

from backlit_proto.errors import BacklitError, InternalError, Overloaded
from backlit_server.workers.channel import Frame, Kind
from backlit_server.workers.messages import pack_refusal, with_story

log = logging.getLogger(__name__)


def failed(question: int, error: Exception, story: bytes = b"") -> Frame:
    """The frame that refuses a question; what is not a refusal of ours goes to the log, not to the caller."""
    return Frame(Kind.FAIL, question, with_story(story, pack_refusal(refusal(error))))


def refusal(error: Exception) -> BacklitError:
    """The error as a caller may see it."""
    if isinstance(error, BacklitError):
        return error
    log.error("an error that is not a refusal", exc_info=error)
    if isinstance(error, MemoryError):
        why = f" ({error})" if str(error) else ""  # numpy tells the array that it could not make
        return Overloaded(f"the worker has no memory left for this question{why}; send fewer images or targets at once")
    return InternalError("backlit failed at this question; the server's log says why")
