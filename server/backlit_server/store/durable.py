"""Files that are there after a power cut, or were never there: temporary file, fsync, rename, fsync of the folder."""

import contextlib
import errno
import fcntl
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from backlit_proto.errors import Overloaded

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def write(path: Path, data: bytes, scratch: Path) -> None:
    """Replaces the file as a whole; the temporary file lies in `scratch`, a folder on the same disk."""
    temporary = scratch / f"{secrets.token_hex(8)}.tmp"
    try:
        create(temporary, data)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    sync(path.parent)


def create(path: Path, data: bytes) -> None:
    """A new file whose bytes have reached the disk; its folder still has to be synced."""
    with path.open("xb", buffering=0) as file:
        append(file.fileno(), data)
        os.fsync(file.fileno())


def append(descriptor: int, data: bytes) -> None:
    """Writes all of it: the system may take less than it is given."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def sync(folder: Path) -> None:
    """Makes what was created, renamed or removed in the folder last."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """One at a time among all threads and processes that lock this file; others wait."""
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def room() -> Iterator[None]:
    """A disk that is full becomes Overloaded."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise Overloaded(
            "the server's disk is full; models that are stored stay as they are. Delete models that are not needed"
        ) from error


def size(folder: Path) -> int:
    """The bytes of all files in and below a folder; those that vanish meanwhile count for nothing."""
    total = 0
    for inside, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                total += os.stat(os.path.join(inside, name)).st_size
    return total
