"""Model files on their way up and down, in chunks and with their digests checked."""

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import BinaryIO

from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import BadModel, BadQuestion, CorruptModel

CHUNK = 2**20  # bytes


@dataclass(frozen=True)
class ModelFile:
    """The bytes to upload: a path that is read as it goes, or bytes."""

    source: Path | bytes
    digest: str
    size: int

    @classmethod
    def of(cls, source: str | PathLike[str] | bytes | bytearray | BinaryIO) -> "ModelFile":
        """Reads it once for digest and size; BadModel names the file that cannot be read."""
        if isinstance(source, str | PathLike):
            return cls(Path(source), *_measured(Path(source)))
        data = bytes(source) if isinstance(source, bytes | bytearray) else source.read()
        return cls(data, hashlib.sha256(data).hexdigest(), len(data))

    def chunks(self, start: int) -> Iterator[bytes]:
        """The bytes from `start`, opened anew: a broken upload may still hold the old ones."""
        if isinstance(self.source, bytes):
            yield from (self.source[at : at + CHUNK] for at in range(start, self.size, CHUNK))
            return
        with self.source.open("rb") as file:
            file.seek(start)
            while chunk := file.read(CHUNK):
                yield chunk


def _measured(path: Path) -> tuple[str, int]:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest(), os.fstat(file.fileno()).st_size
    except OSError as error:
        raise BadModel(f"no model can be read from {str(path)!r}: {error.strerror}") from None


def received(parts: Iterable[pb.ExportResponse]) -> Iterator[bytes]:
    """The chunks of a file as they come; CorruptModel in the end when they are not what the first message announced."""
    size, count, digest, found = 0, 0, "", hashlib.sha256()
    for part in parts:
        size, digest = size or part.size, digest or part.digest
        count += len(part.chunk)
        found.update(part.chunk)
        yield part.chunk
    if (count, found.hexdigest()) != (size, digest):
        raise CorruptModel(
            f"the export arrived damaged: {count} bytes with SHA-256 {found.hexdigest()[:12]}, "
            f"announced were {size} with {digest[:12] or 'none'}; ask again"
        )


def save(parts: Iterable[pb.ExportResponse], path: Path) -> Path:
    """Writes the file beside its place and moves it there once it is whole."""
    unfinished = path.with_name(f"{path.name}.part")
    try:
        with unfinished.open("wb") as out:
            out.writelines(received(parts))
        unfinished.replace(path)
    except OSError as error:
        raise BadQuestion(f"the export cannot be written to {str(path)!r}: {error.strerror}") from None
    finally:
        unfinished.unlink(missing_ok=True)
    return path
