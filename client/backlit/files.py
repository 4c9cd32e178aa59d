"""Model files on their way up, in chunks."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import BinaryIO

from backlit.external import beside
from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import BadModel
from backlit_proto.parts import MODEL, digest_of

CHUNK = 2**20  # bytes


@dataclass(frozen=True)
class Source:
    """One file to upload: a path that is read as it goes, or bytes."""

    source: Path | bytes
    file: pb.File

    def chunks(self, start: int) -> Iterator[bytes]:
        """The bytes from `start`, opened anew: a broken upload may still hold the old ones."""
        if isinstance(self.source, bytes):
            yield from (self.source[at : at + CHUNK] for at in range(start, self.file.size, CHUNK))
            return
        with self.source.open("rb") as file:
            file.seek(start)
            while chunk := file.read(CHUNK):
                yield chunk


@dataclass(frozen=True)
class ModelFile:
    """What is to be uploaded: the files that hold weights of a model, by name, and the model itself last."""

    sources: tuple[Source, ...]

    @classmethod
    def of(cls, source: str | PathLike[str] | bytes | bytearray | BinaryIO) -> "ModelFile":
        """Reads everything once for digest and size; BadModel names the file that cannot be read."""
        if not isinstance(source, str | PathLike):
            data = bytes(source) if isinstance(source, bytes | bytearray) else source.read()
            return cls((Source(data, pb.File(name=MODEL, size=len(data), digest=hashlib.sha256(data).hexdigest())),))
        model = Path(source)
        found = _measured(model, MODEL)
        outside = beside(model) if found.file.size else []
        return cls((*(_measured(path, path.name) for path in outside), found))

    @property
    def files(self) -> list[pb.File]:
        """As the header lists them: none where there is just one."""
        return [source.file for source in self.sources] if len(self.sources) > 1 else []

    @property
    def digest(self) -> str:
        return digest_of(self.files) if self.files else self.sources[0].file.digest

    @property
    def size(self) -> int:
        return sum(source.file.size for source in self.sources)

    def chunks(self, start: int) -> Iterator[bytes]:
        """The bytes of all files one after the other, from `start`."""
        for source in self.sources:
            if start < source.file.size:
                yield from source.chunks(start)
            start = max(0, start - source.file.size)


def _measured(path: Path, name: str) -> Source:
    try:
        with path.open("rb") as file:
            digest, size = hashlib.file_digest(file, "sha256").hexdigest(), os.fstat(file.fileno()).st_size
    except OSError as error:
        raise BadModel(f"no model can be read from {str(path)!r}: {error.strerror}") from None
    return Source(path, pb.File(name=name, size=size, digest=digest))
