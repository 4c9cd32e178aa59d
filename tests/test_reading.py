"""A worker's frames come in their order and hold up nothing else, whatever the worker does."""

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
import pytest_asyncio

from backlit_server.workers.channel import HEAD, SMALL_BLOBS, SMALL_BODY, Channel, Frame, Kind
from backlit_server.workers.reading import Reader
from waiting import until

SMALL = Frame(Kind.ANSWER, 1, b"body", [b"blob"])
LARGE = Frame(Kind.ANSWER, 2, bytes(SMALL_BODY), [b"blob"])
HEAVY = Frame(Kind.ANSWER, 3, b"body", [bytes(SMALL_BLOBS), b"blob"])
BARE = HEAD.pack(Kind.END, 0, 0, 4, 9) + b"the story"


@dataclass
class Heard:
    """What came of a worker whose end of the channel is `raw`, and a channel `theirs` that writes to it."""

    raw: socket.socket
    theirs: Channel
    frames: list[Frame] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)


@pytest_asyncio.fixture
async def heard() -> AsyncIterator[Heard]:
    ours, theirs = socket.socketpair()
    heard, channel = Heard(theirs, Channel(theirs)), Channel(ours)
    reader = Reader(channel, heard.frames.append, heard.ended.set)
    yield heard
    channel.shutdown()
    await reader.stop()
    channel.close()
    heard.theirs.close()


@pytest.mark.parametrize(
    ("sent", "at_once"),
    [
        (b"", False),
        (BARE[:5], False),
        (BARE[: HEAD.size], False),
        (BARE[:-1], False),
        (BARE, True),
        (BARE + BARE[:5], True),
        (HEAD.pack(Kind.ANSWER, 0, 2**16, 1, 0), False),
        (HEAD.pack(Kind.ANSWER, 0, 0, 1, 2**63), False),
    ],
)
def test_a_frame_can_be_read_at_once_when_all_of_it_is_here(sent, at_once):
    end, other = socket.socketpair()
    channel = Channel(other)
    end.sendall(sent)
    assert channel.gives() == at_once
    end.close()
    assert channel.gives() == (at_once or not sent), "its end is told at once too, but not that of half a frame"
    channel.close()


@pytest.mark.parametrize(("frame", "at_once"), [(SMALL, True), (LARGE, False), (HEAVY, False)])
async def test_a_large_frame_is_not_read_in_the_event_loop(frame, at_once):
    one, other = map(Channel, socket.socketpair())
    sending = asyncio.create_task(asyncio.to_thread(one.send, frame))
    await until(lambda: sending.done() or not at_once)
    assert other.gives() == at_once
    await asyncio.gather(sending, asyncio.to_thread(other.receive))
    one.close()
    other.close()


async def test_frames_of_any_size_arrive_in_their_order(heard):
    frames = [SMALL, LARGE, SMALL, HEAVY, HEAVY, SMALL]
    for frame in frames:
        await asyncio.to_thread(heard.theirs.send, frame)
    await until(lambda: len(heard.frames) == len(frames))
    assert heard.frames == frames
    assert not heard.ended.is_set()


async def test_half_a_frame_holds_up_nobody_and_its_other_half_completes_it(heard):
    heard.raw.sendall(BARE[:7])
    for _ in range(20):
        await asyncio.sleep(0)
    assert not heard.frames
    heard.raw.sendall(BARE[7:] + BARE)
    await until(lambda: len(heard.frames) == 2)
    assert heard.frames == [Frame(Kind.END, 4, b"the story", ())] * 2


SHORT_BLOB = HEAD.pack(Kind.ANSWER, 0, 1, 1, 0) + b"x" * 8  # a blob, and no file that holds it


@pytest.mark.parametrize("last", [b"", BARE, BARE[:7], b"\xff" * HEAD.size, SHORT_BLOB])
async def test_the_end_is_told_once_after_all_that_came_before_it(heard, last, caplog):
    heard.raw.sendall(BARE + last)
    heard.raw.shutdown(socket.SHUT_WR)
    await until(heard.ended.is_set)
    whole = 2 if last == BARE else 1
    assert [frame.question for frame in heard.frames] == [4] * whole
    assert bool(caplog.records) == (len(last) >= HEAD.size and last != BARE), "what is no frame is an error"
