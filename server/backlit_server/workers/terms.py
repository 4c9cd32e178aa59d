"""On what terms a question is answered: for whom, how urgently, and until when. They go ahead of it to the worker."""

import math
import struct
from dataclasses import dataclass
from enum import IntEnum

from backlit_proto import backlit_pb2 as pb

HEAD = struct.Struct("<dBH")  # deadline, priority, bytes of the caller's name
LONGEST_CALLER = 2**16 - 1


class Priority(IntEnum):
    """Whose turn comes first."""

    INTERACTIVE = pb.Question.PRIORITY_INTERACTIVE
    AUDIT = pb.Question.PRIORITY_AUDIT


@dataclass(frozen=True)
class Terms:
    """`caller` is anything that tells callers apart; the deadline is one of time.monotonic(), which all processes of a
    machine share, infinity where there is none.
    """

    caller: str = ""
    priority: Priority = Priority.INTERACTIVE
    deadline: float = math.inf


ANYBODY = Terms()


def packed(terms: Terms) -> bytes:
    caller = terms.caller.encode()[:LONGEST_CALLER]
    return HEAD.pack(terms.deadline, terms.priority, len(caller)) + caller


def unpacked(data: bytes) -> tuple[Terms, memoryview]:
    """The terms, and what follows them."""
    deadline, priority, length = HEAD.unpack_from(data)
    rest = memoryview(data)[HEAD.size :]
    return Terms(str(rest[:length], "utf-8", "replace"), Priority(priority), deadline), rest[length:]
