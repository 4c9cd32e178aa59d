"""What ONNX Runtime made of a model's graphs for this machine, on disk: started again, it need not be made again.

    <digest of the model>/<SHA-256>      a weight, behind it the forms in which kernels read it
    <digest of the model>/<key>.graph    SHA-256 of what follows; an optimised graph whose weights are those files
    <digest of the model>/lock           held shared by every worker that has the model open

The runtime maps the weights, so that all sessions of a model, in all workers, read the same pages. Everything is
checked when it is first read; what is damaged is made anew. All files appear by one rename.
"""

import contextlib
import fcntl
import hashlib
import logging
import math
import os
import secrets
import shutil
import time
import weakref
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from google.protobuf.message import DecodeError
from onnx import ModelProto

from backlit_server.engine.packing import mapped

HASH = hashlib.sha256().digest_size
FILES = 0o600
NOTED_EVERY = 10.0  # seconds

log = logging.getLogger(__name__)


class Shelf:
    """The folder of one open model."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.written = 0  # bytes
        self._sound: set[str] = set()
        # Held for as long as anybody works with the model, which may be longer than it is kept.
        weakref.finalize(self, os.close, _locked(folder, fcntl.LOCK_SH))

    def keep(self, data: bytes | memoryview) -> Path:
        """The file of these bytes, written where it is not there yet."""
        name = hashlib.sha256(data).hexdigest()
        if name not in self._sound and not _holds(self.folder / name, data):
            self._write(self.folder / name, [data])
        self._sound.add(name)
        return self.folder / name

    def graph(self, key: str) -> ModelProto | None:
        """The optimised graph of this key; None where there is none, or anything of it is damaged."""
        path = self.folder / f"{key}.graph"
        if not path.is_file():
            return None
        data = path.read_bytes()
        if hashlib.sha256(data[HASH:]).digest() != data[:HASH]:
            log.warning("the optimised graph %s is damaged: it is made anew", path)
            return None
        found = _parsed(data[HASH:])
        missing = [name for name in mapped(found) if not self._is_sound(name)] if found else []
        for name in missing:
            log.warning("the weight %s is missing or damaged: it is made anew", self.folder / name)
        return None if missing else found

    def add(self, key: str, graph: ModelProto) -> None:
        data = graph.SerializeToString()
        self._write(self.folder / f"{key}.graph", [hashlib.sha256(data).digest(), data])

    def _is_sound(self, name: str) -> bool:
        """Whether the file holds what it is called after; looked at once."""
        if name in self._sound:
            return True
        path = self.folder / name
        if not path.is_file():
            return False
        with path.open("rb") as file:
            sound = hashlib.file_digest(file, "sha256").hexdigest() == name
        if sound:
            self._sound.add(name)
        return sound

    def _write(self, path: Path, parts: Iterable[bytes | memoryview]) -> None:
        temporary = path.with_name(f"{secrets.token_hex(8)}.tmp")
        try:
            with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILES), "wb") as file:
                file.writelines(parts)
                self.written += file.tell()
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


class Shelves:
    """The folders of all models, at most `limit` bytes and those of the models that are open; the oldest go first."""

    def __init__(self, root: Path, limit: int) -> None:
        self._root = root
        self.limit = limit
        self._noted: dict[str, float] = {}

    def open(self, digest: str) -> Shelf:
        """The folder of a model."""
        return Shelf(self._root / digest)

    def note(self, digest: str) -> None:
        """From now on the model is the one used last; noted once in a while."""
        now = time.monotonic()
        if now - self._noted.get(digest, -math.inf) > NOTED_EVERY:
            self._noted[digest] = now
            with contextlib.suppress(FileNotFoundError):  # not all models have a folder
                os.utime(self._root / digest)

    def recent(self) -> list[str]:
        """The models by last use, the last one first."""
        return [folder.name for folder in reversed(self._by_age())]

    def remove(self, digest: str) -> None:
        """Removes the folder of a model unless a worker has it open."""
        folder = self._root / digest
        if not folder.is_dir():
            return
        try:
            lock = _locked(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.debug("%s is in use and stays", folder)
            return
        shutil.rmtree(folder)
        os.close(lock)

    def shrink(self) -> None:
        """Removes the folders used longest ago until the others are within the limit."""
        sizes = {folder: sum(entry.stat().st_size for entry in os.scandir(folder)) for folder in self._by_age()}
        total = sum(sizes.values())
        for folder, size in sizes.items():
            if total <= self.limit:
                return
            self.remove(folder.name)
            total -= 0 if folder.exists() else size

    def _by_age(self) -> list[Path]:
        if not self._root.is_dir():
            return []
        return sorted((path for path in self._root.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime)


def _holds(path: Path, data: bytes | memoryview) -> bool:
    """Whether a file is these bytes: to compare them takes a third of hashing it."""
    if not path.is_file() or path.stat().st_size != len(data):
        return False
    return not len(data) or np.array_equal(np.memmap(path, np.uint8, "r"), np.frombuffer(data, np.uint8))


def _parsed(data: bytes) -> ModelProto | None:
    try:
        return ModelProto.FromString(data)
    except DecodeError:
        return None


def _locked(folder: Path, how: int) -> int:
    """The folder with its lock, a descriptor to be closed; BlockingIOError when it is held and not to be waited for."""
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, FILES)
        try:
            fcntl.flock(lock, how)
        except BlockingIOError:
            os.close(lock)
            raise
        if _is_still(folder / "lock", lock):
            return lock
        os.close(lock)


def _is_still(path: Path, descriptor: int) -> bool:
    """Whether the path leads to the open file: somebody may have removed the folder meanwhile."""
    return path.exists() and os.path.samestat(path.stat(), os.fstat(descriptor))
