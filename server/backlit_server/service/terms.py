"""On what terms a call is answered: who calls, how urgent it is, and when nobody waits for it any more."""

import math
import time

import grpc

from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import BadQuestion
from backlit_server.workers.terms import Priority, Terms


def terms(context: grpc.aio.ServicerContext, question: pb.Question, usual: Priority) -> Terms:
    """Takes the priority out of the question, whose words are the same without it; unset, it is the usual one."""
    left = context.time_remaining()
    deadline = math.inf if left is None else time.monotonic() + left
    try:
        on = Terms(caller(context), Priority(question.priority or usual), deadline)
    except ValueError:
        known = ", ".join(f"{one.value}, {one.name.lower()}" for one in Priority)
        raise BadQuestion(f"there is no priority {question.priority}; there are {known}") from None
    question.ClearField("priority")
    return on


def caller(context: grpc.aio.ServicerContext) -> str:
    """By the names in the certificate where callers have one, else by address and port: a connection is a caller."""
    names = context.peer_identities() or ()
    return " ".join(name.decode(errors="replace") for name in names) or context.peer()
