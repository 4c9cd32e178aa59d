"""Refusals as they travel: what a client of any language finds in the trailer."""

import pytest

from backlit.refusals import from_status
from backlit_proto.errors import ERRORS, Overloaded
from backlit_server.service.wire_errors import LONGEST_MESSAGE, status_of

OVERLOADED = Overloaded("too much at once", retry_seconds="0.250")


@pytest.mark.parametrize("reason", ERRORS)
def test_every_refusal_arrives_as_its_class(reason: str):
    arrived = from_status(status_of(ERRORS[reason]("no \u2603 here", method="cam")))
    assert type(arrived) is ERRORS[reason]
    assert (arrived.message, arrived.details) == ("no \u2603 here", {"method": "cam"})


def test_where_waiting_helps_the_status_says_for_how_long():
    """As google.rpc.RetryInfo: field 1, a Duration whose field 2 are 250,000,000 nanoseconds."""
    info, retry = status_of(OVERLOADED).details
    assert info.type_url == "type.googleapis.com/google.rpc.ErrorInfo"
    assert retry.type_url == "type.googleapis.com/google.rpc.RetryInfo"
    assert retry.value == bytes([0x0A, 5, 0x10, 0x80, 0xE5, 0x9A, 0x77])


def test_the_client_knows_when_to_ask_again():
    arrived = from_status(status_of(OVERLOADED))
    assert isinstance(arrived, Overloaded)
    assert arrived.retry_seconds == 0.25
    assert Overloaded("the disk is full").retry_seconds is None


def test_a_message_is_cut_between_characters():
    arrived = from_status(status_of(Overloaded("\u2603" * 1000)))
    assert len(arrived.message.encode()) <= LONGEST_MESSAGE + 4
    assert arrived.message.rstrip(" .") == "\u2603" * 400
