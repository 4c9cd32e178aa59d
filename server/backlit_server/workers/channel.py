"""Frames between the front and a worker: what is small over a Unix socket, tensors through shared memory.

A frame on the wire: HEAD, one u64 a blob (its length), the body. The blobs lie in one file whose descriptor
travels with the head (SCM_RIGHTS). Nothing is pickled: the other side may have been taken over by a model.
"""

import array
import os
import select
import socket
import struct
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from backlit_proto.errors import InternalError, Overloaded
from backlit_server.workers import memory
from backlit_server.workers.memory import Blob


class Kind(IntEnum):
    """What a frame says; the worker's own kinds begin at HELLO."""

    EXPLAIN = 1  # body: an ExplainRequest without its tensors' bytes, which are the blobs
    CANCEL = 2  # answered by END as soon as the question is let go
    ACK = 3  # one answer was taken: the worker may send another; the last one needs none
    FORGET = 4  # body: the digest of a deleted model
    STOP = 5  # finish what was asked, then leave
    LOOK = 6  # answered by FIGURES at once, whatever the worker is at
    HELLO = 16  # body: JSON of device, provider, versions
    ANSWER = 17  # body: an ExplainResponse without its heatmap's bytes, which are the blob
    END = 18  # body: the story of the question, nothing where it was let go
    FAIL = 19  # body: the story as LAST has it, then JSON of reason, message, details; of 0: the worker cannot start
    FIGURES = 20  # body: JSON of rows as in figures.py
    LAST = 21  # an answer after which there is none; body: the story as END has it, its length ahead, then as ANSWER's


@dataclass(frozen=True)
class Frame:
    """One message; `question` is the number both sides know a question by, 0 where there is none."""

    kind: Kind
    question: int = 0
    body: bytes = b""
    blobs: Sequence[Blob] = ()


KINDS = frozenset(Kind)

# Kind, files taken since the last frame, number of blobs, question, length of the body.
HEAD = struct.Struct("<BxHIQQ")
MOST_TAKEN = 2**16 - 1
MOST_BLOBS = 2**16
# As protobuf has it: a message is less than 2 GiB. Holds for the body and for all blobs together.
MOST_BYTES = 2**31 - 1
# What is sent and read without a thread of its own: the blobs are a copy in memory, which takes 0.1 ms a megabyte.
SMALL_BODY = 2**15
SMALL_BLOBS = 2**20


class Channel:
    """One end of a socket pair; any thread may send, one at a time receives."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self._files = memory.Files()
        self._sending = threading.Lock()
        self._counting = threading.Lock()
        self._taken = 0
        self._writable = select.poll()
        self._writable.register(end, select.POLLOUT)

    def send(self, frame: Frame) -> None:
        """Blocks until the frame is on its way; ConnectionError when the other side is gone, Overloaded when it
        is too large or memory is short (and then nothing was sent).
        """
        lengths = [len(blob) for blob in frame.blobs]
        if len(frame.body) > MOST_BYTES or sum(lengths) > MOST_BYTES or len(lengths) > MOST_BLOBS:
            raise Overloaded(f"one message takes {MOST_BYTES} bytes and {MOST_BLOBS} tensors; send fewer at once")
        with self._sending:
            fd = self._files.lend(frame.blobs) if any(lengths) else None
            try:
                head = HEAD.pack(frame.kind, self._receipts(), len(lengths), frame.question, len(frame.body))
                self._transmit(head + struct.pack(f"<{len(lengths)}Q", *lengths), frame.body, fd)
            finally:
                if fd is not None:
                    self._files.lent(fd)

    def takes(self, frame: Frame) -> bool:
        """Whether send() would not block: the frame is small, and there is room for it.

        A Unix socket counts as writable while at least half of its buffer, so some 100 KB, is free.
        """
        small = len(frame.body) <= SMALL_BODY and sum(map(len, frame.blobs)) <= SMALL_BLOBS
        return small and bool(self._writable.poll(0))

    def gives(self) -> bool:
        """Whether receive() would neither block nor take long: a small frame is here as a whole, or the end."""
        try:
            here = self._socket.recv(SMALL_BODY, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except ConnectionError:
            return True
        if len(here) < HEAD.size:
            return not here
        _, _, count, _, length = HEAD.unpack_from(here)
        if len(here) < HEAD.size + 8 * count + length:
            return False
        return sum(struct.unpack_from(f"<{count}Q", here, HEAD.size)) <= SMALL_BLOBS

    def fileno(self) -> int:
        """The descriptor that can be read when receive() has something to do."""
        return self._socket.fileno()

    def receive(self) -> Frame:
        """Blocks until a frame is here; EOFError when the other side is gone, at once or in the middle of a frame.

        InternalError when what came is not a frame: the other side is not to be trusted any more.
        """
        head, fd = self._receive_head()
        try:
            kind, taken, count, question, length = HEAD.unpack(head)
            if kind not in KINDS or count > MOST_BLOBS or length > MOST_BYTES:
                raise InternalError(f"no frame: kind {kind}, {count} blobs, {length} bytes")
            rest = self._receive(8 * count + length)
            lengths, body = struct.unpack_from(f"<{count}Q", rest), bytes(memoryview(rest)[8 * count :])
            blobs = self._receive_blobs(fd, lengths)
        finally:
            if fd is not None:
                os.close(fd)
        self._files.taken(taken)
        return Frame(Kind(kind), question, body, blobs)

    def shutdown(self) -> None:
        """Ends both directions, for both sides: a thread that waits in receive() gets its EOFError."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # the other side was faster

    def close(self) -> None:
        """Gives everything back; no thread may be using the channel any more."""
        self._socket.close()
        self._files.close()

    def _receipts(self) -> int:
        with self._counting:
            taken = min(self._taken, MOST_TAKEN)
            self._taken -= taken
        return taken

    def _transmit(self, head: bytes, body: bytes, fd: int | None) -> None:
        rights = [] if fd is None else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))]
        sent = self._socket.sendmsg([head, body], rights)
        if sent < len(head):
            self._socket.sendall(head[sent:])
        if sent < len(head) + len(body):
            self._socket.sendall(memoryview(body)[max(0, sent - len(head)) :])

    def _receive_head(self) -> tuple[bytes, int | None]:
        """The head and the descriptor that came with its first byte."""
        try:
            head, ancillary, flags, _ = self._socket.recvmsg(HEAD.size, socket.CMSG_SPACE(array.array("i").itemsize))
        except ConnectionError:
            raise EOFError from None
        rights = array.array("i", b"".join(data for _, kind, data in ancillary if kind == socket.SCM_RIGHTS))
        fd = rights[0] if rights else None
        if fd is not None:
            os.set_inheritable(fd, False)
        if flags & socket.MSG_CTRUNC:
            raise InternalError("a descriptor was lost: this process has too many files open")
        if not head:
            raise EOFError
        return head + self._receive(HEAD.size - len(head)), fd

    def _receive(self, count: int) -> bytearray:
        data = bytearray(count)
        view = memoryview(data)
        while view:
            try:
                received = self._socket.recv_into(view)
            except ConnectionError:
                raise EOFError from None
            if not received:
                raise EOFError
            view = view[received:]
        return data

    def _receive_blobs(self, fd: int | None, lengths: Sequence[int]) -> Sequence[bytes]:
        if not any(lengths):
            return (b"",) * len(lengths)
        if fd is None or sum(lengths) > MOST_BYTES:
            raise InternalError(f"no frame: {sum(lengths)} bytes of blobs, {'no' if fd is None else 'a'} file")
        blobs = memory.read(fd, lengths)
        with self._counting:
            self._taken += 1
        return blobs
