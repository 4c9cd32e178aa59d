"""The files of a model as one run of bytes, and its digest: the SHA-256 of its only file, or of the list of them."""

import hashlib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import BadUpload, CorruptModel

MODEL = "model.onnx"
WEIGHTS = "model.onnx.data"  # what the file beside an export is called when nobody says
LONGEST_NAME = 255  # bytes, as file systems have it
FLAT = re.compile(r"[^/\\\x00-\x1f\x7f]+")
SHA256 = re.compile(r"[0-9a-f]{64}")


def flat(name: str) -> bool:
    """Whether a file of this name lies beside the model: no folder, no way out of it, no control characters."""
    return bool(FLAT.fullmatch(name)) and name.strip(".") != "" and len(name.encode()) <= LONGEST_NAME


def listing(files: Iterable[pb.File]) -> bytes:
    """One line a file."""
    return "".join(f"{file.digest} {file.size} {file.name}\n" for file in files).encode()


def digest_of(files: Iterable[pb.File]) -> str:
    """The digest of a model of several files."""
    return hashlib.sha256(listing(files)).hexdigest()


def check(files: Sequence[pb.File], digest: str, size: int) -> None:
    """BadUpload for a list of files that contradicts itself, or the digest and the size it came with."""
    names = [file.name for file in files]
    for file in files:
        if not flat(file.name):
            raise BadUpload(f"{file.name[:300]!r} is no name of a file beside the model: folders are not taken")
        if not (SHA256.fullmatch(file.digest) and file.size):
            raise BadUpload(f"the file {file.name!r} needs its SHA-256 (64 lower-case hex digits) and at least 1 byte")
    if names != [*sorted(set(names) - {MODEL}), MODEL]:
        raise BadUpload(f"list the files of a model by name, each once, and last {MODEL!r}; these came: {names[:9]}")
    if sum(file.size for file in files) != size:
        raise BadUpload(f"the files have {sum(file.size for file in files)} bytes, not {size} as declared")
    if digest_of(files) != digest:
        raise BadUpload(f"the list of files has SHA-256 {digest_of(files)}, not {digest} as declared")


def listing_beside(path: Path) -> Path:
    """Where the list of files lies whose bytes are in `path`, if they are several."""
    return path.with_suffix(".files")


def files_in(path: Path, digest: str = "") -> list[pb.File]:
    """The files whose bytes are in `path`, in order, the model last; CorruptModel when their list cannot be read."""
    beside = listing_beside(path)
    if not beside.exists():
        return [pb.File(name=MODEL, size=path.stat().st_size, digest=digest)]
    try:
        lines = (line.split(" ", 2) for line in beside.read_bytes().decode().removesuffix("\n").split("\n"))
        return [pb.File(digest=found, size=int(size), name=name) for found, size, name in lines]
    except ValueError:  # no UTF-8, no three words, no number
        raise CorruptModel(f"the list of files {beside.name[:21]!r} cannot be read: upload the model again") from None


def damaged(files: Sequence[pb.File], digest: str, blocks: Iterable[bytes | memoryview]) -> bool:
    """Whether the bytes, or their list, are others than the digest of the model says."""
    found = Fingerprint(files)
    for block in blocks:
        found.update(block)
    return found.wrong() is not None or (len(files) > 1 and digest_of(files) != digest)


class Fingerprint:
    """Compares bytes, as they come, with the digests that files should have."""

    def __init__(self, files: Sequence[pb.File]) -> None:
        self._files = files
        self._hashes = [hashlib.sha256() for _ in files]
        self._left = [file.size for file in files]

    def update(self, data: bytes | memoryview) -> None:
        """The next bytes of the run."""
        view = memoryview(data)
        while view:
            at = next((k for k, left in enumerate(self._left) if left), len(self._left) - 1)
            taken = view[: self._left[at]] if self._left[at] else view
            self._hashes[at].update(taken)
            self._left[at] = max(0, self._left[at] - len(taken))
            view = view[len(taken) :]

    def wrong(self) -> tuple[pb.File, str] | None:
        """The first file that is another than declared, and the SHA-256 it has; None where all are right."""
        for file, found in zip(self._files, self._hashes, strict=True):
            if found.hexdigest() != file.digest:
                return file, found.hexdigest()
        return None
