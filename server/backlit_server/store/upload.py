"""One model on its way in: a part file that grows, and outlives a broken connection."""

import fcntl
import os
from collections.abc import Callable, Sequence
from io import FileIO
from pathlib import Path

from backlit_proto import backlit_pb2 as pb
from backlit_proto import parts
from backlit_proto.errors import BadUpload, Busy, Overloaded, WrongOffset
from backlit_server.store import durable

MB = 1024 * 1024


class Upload:
    """begin, append ..., finish, and in any case close; the part stays for a later upload unless it is discarded.

    A lock on the part keeps other threads and processes out until close. `free` tells how many bytes the store takes,
    `files` which files the bytes are, in order; none: one.
    """

    def __init__(self, part: Path, digest: str, size: int, files: Sequence[pb.File], free: Callable[[], int]) -> None:
        self.part = part
        self.digest = digest
        self.size = size
        self.files = files
        self.committed = 0
        self._free = free
        self._found = parts.Fingerprint(files or [pb.File(name=parts.MODEL, size=size, digest=digest)])
        self._file: FileIO | None = None

    def begin(self, offset: int) -> None:
        """Locks the part and hashes what it holds; WrongOffset tells how much that is, Busy that another has it."""
        with durable.room():
            self._file = _locked(self.part)
        self.committed = os.fstat(self._file.fileno()).st_size
        if self.committed > self.size:
            self.discard()
            raise BadUpload(
                f"the server already has {self.committed} bytes of this model, more than the {self.size} declared; "
                "they are dropped now: declare the right size and start at offset 0"
            )
        if offset != self.committed:
            raise WrongOffset(
                f"the server has {self.committed} bytes of this upload: go on there, not at {offset}",
                committed=str(self.committed),
            )
        self._reserve()
        while block := self._file.read(MB):
            self._found.update(block)

    def _reserve(self) -> None:
        missing, free = self.size - self.committed, self._free()
        if missing > free:
            if not self.committed:
                self.discard()
            raise Overloaded(
                f"the store has room for {max(free, 0) / MB:.1f} MB and this upload needs {missing / MB:.1f} MB more; "
                "delete models that are not needed"
            )

    def append(self, chunk: bytes) -> None:
        """Takes the next bytes; BadUpload when they are more than was declared."""
        if self.committed + len(chunk) > self.size:
            raise BadUpload(f"more bytes than the {self.size} declared were sent")
        with durable.room():
            durable.append(self._open().fileno(), chunk)
        self._found.update(chunk)
        self.committed += len(chunk)

    def finish(self) -> Path:
        """The complete part, checked and on disk; BadUpload keeps a short part and removes a wrong one."""
        if self.committed < self.size:
            raise BadUpload(
                f"the upload ended after {self.committed} of {self.size} bytes; go on at offset {self.committed}",
                committed=str(self.committed),
            )
        if wrong := self._found.wrong():
            self.discard()
            file, found = wrong
            raise BadUpload(
                f"the {file.size} bytes of {file.name!r} have SHA-256 {found}, not {file.digest} as declared; "
                "all that came is dropped: upload the model again"
            )
        with durable.room():
            os.fsync(self._open().fileno())
            if self.files:
                durable.write(parts.listing_beside(self.part), parts.listing(self.files), self.part.parent)
        return self.part

    def discard(self) -> None:
        """Forgets the bytes."""
        self.part.unlink(missing_ok=True)
        parts.listing_beside(self.part).unlink(missing_ok=True)

    def close(self) -> None:
        """Lets others go on with the part."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self) -> FileIO:
        if self._file is None:
            raise ValueError("append and finish belong between begin and close")
        return self._file


def _locked(part: Path) -> FileIO:
    """The part, ours alone. Another may have moved it away between open and lock: then it is opened anew."""
    while True:
        file = FileIO(os.open(part, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "rb+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _same(file, part):
                return file
        except BlockingIOError:
            file.close()
            raise Busy("this model is being uploaded by somebody else right now; try again in a moment") from None
        file.close()


def _same(file: FileIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
