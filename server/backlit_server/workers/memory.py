"""Tensor bytes cross between two processes in anonymous files that live in memory.

New pages are what costs: filling a new file with 602 KB takes 230 us on a virtual machine, filling one that was
used before takes 25. So a sender keeps a few files and uses one again once the receiver has copied its bytes.
"""

import os
import tempfile
from collections import deque
from collections.abc import Iterator, Sequence

from backlit_proto.errors import InternalError, Overloaded

Blob = bytes | memoryview
"""Bytes; a view is one of bytes in one dimension."""

ALIGNMENT = 64
KEPT_FILES = 4
KEPT_BYTES = 8 << 20


class Files:
    """The files that one side of a channel sends its blobs in; at most KEPT_FILES of KEPT_BYTES each are kept.

    `lend` and `lent` are called by one thread at a time, `taken` by another.
    """

    def __init__(self) -> None:
        self._free: list[int] = []
        # One entry a file on its way, oldest first; None where it was not kept.
        self._lent: deque[int | None] = deque()

    def lend(self, blobs: Sequence[Blob]) -> int:
        """The descriptor of a file that holds the blobs; Overloaded when memory is short."""
        fd = self._free.pop() if self._free else anonymous_file()
        try:
            write(fd, blobs)
        except OSError as error:
            os.close(fd)
            raise Overloaded(f"no memory left to pass on {sum(map(len, blobs))} bytes of tensors") from error
        return fd

    def lent(self, fd: int) -> None:
        """Notes that the file was sent: it is used again when the receiver says so, or given up now."""
        kept = len(self._lent) + len(self._free) < KEPT_FILES and os.fstat(fd).st_size <= KEPT_BYTES
        self._lent.append(fd if kept else None)
        if not kept:
            os.close(fd)

    def taken(self, count: int) -> None:
        """The receiver has copied the bytes of the `count` oldest files."""
        for _ in range(min(count, len(self._lent))):
            fd = self._lent.popleft()
            if fd is not None:
                self._free.append(fd)

    def close(self) -> None:
        """Gives the memory back; the receiver keeps what it was sent."""
        for fd in (*self._lent, *self._free):
            if fd is not None:
                os.close(fd)
        self._lent.clear()
        self._free.clear()


def anonymous_file() -> int:
    """A descriptor of a file without a name, in memory where the system has such files."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("backlit")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def write(fd: int, blobs: Sequence[Blob]) -> None:
    """Fills the file. Written rather than mapped: where memory is short, writing to a mapping is a SIGBUS."""
    for offset, blob in zip(_offsets(map(len, blobs)), blobs, strict=True):
        view = memoryview(blob)
        while view:
            written = os.pwrite(fd, view, offset)
            view, offset = view[written:], offset + written


def read(fd: int, lengths: Sequence[int]) -> list[bytes]:
    """Copies the blobs out: a mapping costs more page faults than it saves, and one cut short is a SIGBUS."""
    return [_read(fd, length, offset) for offset, length in zip(_offsets(lengths), lengths, strict=True)]


def _read(fd: int, length: int, offset: int) -> bytes:
    data = os.pread(fd, length, offset)
    while len(data) < length:
        more = os.pread(fd, length - len(data), offset + len(data))
        if not more:
            raise InternalError(f"shared memory holds {len(data)} of {length} bytes")
        data += more
    return data


def _offsets(lengths: Iterator[int] | Sequence[int]) -> Iterator[int]:
    offset = 0
    for length in lengths:
        yield offset
        offset += -(-length // ALIGNMENT) * ALIGNMENT
