"""Frames cross between two processes unchanged, in bounds, and end clearly."""

import mmap
import os
import resource
import socket
import struct
import threading
from collections.abc import Iterator

import pytest

from backlit_proto.errors import InternalError, Overloaded
from backlit_server.workers.channel import HEAD, MOST_BYTES, Channel, Frame, Kind
from backlit_server.workers.memory import KEPT_BYTES, KEPT_FILES, anonymous_file
from crossing import crossing


@pytest.fixture
def raw() -> Iterator[tuple[socket.socket, Channel]]:
    """A socket to write nonsense to, and the channel that has to read it."""
    end, other = socket.socketpair()
    channel = Channel(other)
    yield end, channel
    end.close()
    channel.close()


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_a_body_larger_than_the_sockets_buffer_arrives(channels):
    one, other = channels
    body = os.urandom(5 << 20)
    frame = Frame(Kind.EXPLAIN, 1, body, [b"blob"])
    assert not one.takes(frame)
    thread = threading.Thread(target=one.send, args=(frame,))
    thread.start()
    assert other.receive() == frame
    thread.join()


def test_files_are_used_again_once_the_other_side_has_taken_them(channels):
    one, other = channels
    before = descriptors()
    for number in range(100):
        assert crossing(channels, Frame(Kind.EXPLAIN, number, blobs=[b"x" * number, b"y"])).blobs[1] == b"y"
        assert crossing((other, one), Frame(Kind.ANSWER, number, blobs=[b"z"])).blobs == [b"z"]
    assert descriptors() - before == 2, "one file a direction is enough"


def test_a_side_that_never_answers_costs_few_files(channels):
    before = descriptors()
    for number in range(100):
        crossing(channels, Frame(Kind.EXPLAIN, number, blobs=[b"x"]))
    assert descriptors() - before == KEPT_FILES


def test_large_files_are_not_kept(channels):
    before = descriptors()
    crossing(channels, Frame(Kind.EXPLAIN, blobs=[bytes(KEPT_BYTES + 1)]))
    assert descriptors() == before


def test_closing_gives_every_descriptor_back():
    before = descriptors()
    one, other = map(Channel, socket.socketpair())
    for _ in range(9):
        crossing((one, other), Frame(Kind.EXPLAIN, blobs=[b"x"]))
    one.close()
    other.close()
    assert descriptors() == before


@pytest.mark.parametrize("sent", [b"", b"\1", HEAD.pack(Kind.EXPLAIN, 0, 0, 1, 9) + b"half"], ids=len)
def test_the_end_of_the_other_side_is_an_eof_wherever_it_comes(raw, sent):
    end, channel = raw
    end.sendall(sent)
    end.close()
    with pytest.raises(EOFError):
        channel.receive()


def test_sending_to_a_side_that_is_gone_is_a_connection_error(channels):
    one, other = channels
    other.shutdown()
    with pytest.raises(ConnectionError):
        one.send(Frame(Kind.EXPLAIN, 1, b"body", [b"blob"]))


def test_shutting_down_wakes_the_thread_that_receives(channels):
    one, _ = channels
    ended = threading.Event()

    def receive() -> None:
        with pytest.raises(EOFError):
            one.receive()
        ended.set()

    thread = threading.Thread(target=receive)
    thread.start()
    one.shutdown()
    thread.join()
    assert ended.is_set()


@pytest.mark.parametrize(
    "head",
    [
        HEAD.pack(99, 0, 0, 1, 0),
        HEAD.pack(Kind.EXPLAIN, 0, 0, 1, 2**40),
        HEAD.pack(Kind.EXPLAIN, 0, 2**17, 1, 0),
        HEAD.pack(Kind.EXPLAIN, 0, 1, 1, 0) + struct.pack("<Q", 5),
        HEAD.pack(Kind.EXPLAIN, 0, 1, 1, 0) + struct.pack("<Q", 2**60),
    ],
    ids=["unknown kind", "endless body", "too many blobs", "no file", "endless blob"],
)
def test_what_is_not_a_frame_is_refused(raw, head):
    end, channel = raw
    end.sendall(head)
    with pytest.raises(InternalError, match="no frame"):
        channel.receive()


def test_a_file_shorter_than_its_head_says_is_refused_and_closed(raw):
    end, channel = raw
    before = descriptors()
    fd = anonymous_file()
    os.write(fd, b"1234")
    socket.send_fds(end, [HEAD.pack(Kind.ANSWER, 0, 1, 1, 0) + struct.pack("<Q", 5)], [fd])
    os.close(fd)
    with pytest.raises(InternalError, match="4 of 5 bytes"):
        channel.receive()
    assert descriptors() == before


def test_more_than_a_message_may_hold_is_refused_before_it_is_copied(channels):
    untouched = mmap.mmap(-1, MOST_BYTES + 1)
    with memoryview(untouched) as blob, pytest.raises(Overloaded, match="send fewer at once"):
        channels[0].send(Frame(Kind.EXPLAIN, blobs=[blob]))


def test_short_memory_refuses_one_frame_and_the_next_goes_through(channels):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, limits[1]))
    try:
        with pytest.raises(Overloaded, match="no memory left to pass on 1000000 bytes"):
            channels[0].send(Frame(Kind.EXPLAIN, 1, blobs=[bytes(1_000_000)]))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert crossing(channels, Frame(Kind.EXPLAIN, 2, blobs=[b"x"])).question == 2
