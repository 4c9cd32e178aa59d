"""Exports as they arrive: checked against what their first message announces, kept once they are whole."""

import contextlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from backlit.preprocessing import Declared, Preprocessing
from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import BadQuestion, CorruptModel
from backlit_proto.parts import MODEL, Fingerprint, digest_of

Take = Callable[[pb.ExportResponse], None]


class Arrival:
    """Takes the messages of an export and writes each file to where `opened` says."""

    def __init__(self, opened: Callable[[str], BinaryIO]) -> None:
        self._opened = opened
        self._files: list[pb.File] = []
        self._outs: list[BinaryIO] = []
        self._count = 0
        self._found = Fingerprint(())

    def take(self, part: pb.ExportResponse) -> None:
        """The next message."""
        if not self._files:
            self._begin(part)
        self._found.update(part.chunk)
        view, before = memoryview(part.chunk), 0
        for file, out in zip(self._files, self._outs, strict=True):
            start = max(0, before - self._count)
            out.write(view[start : max(start, before + file.size - self._count)])
            before += file.size
        self._count += len(view)

    def finish(self) -> None:
        """CorruptModel when what came is not what was announced."""
        for out in self._outs:
            out.flush()
        wrong = self._found.wrong()
        if not self._files or wrong or self._count != sum(file.size for file in self._files):
            announced = sum(file.size for file in self._files)
            raise CorruptModel(
                f"the export arrived damaged: {self._count} bytes, announced were {announced}"
                + (f"; {wrong[0].name!r} has another SHA-256 than {wrong[0].digest[:12]}" if wrong else "")
                + "; ask again"
            )

    def _begin(self, part: pb.ExportResponse) -> None:
        self._files = list(part.files) or [pb.File(name=MODEL, size=part.size, digest=part.digest)]
        if part.files and digest_of(part.files) != part.digest:
            raise CorruptModel("the list of the export's files arrived damaged: ask again")
        self._found = Fingerprint(self._files)
        self._outs = [self._opened(file.name) for file in self._files]


def export_request(
    model: str, layer: str, method: str, pictures: bool | Declared, weights_name: str
) -> pb.ExportRequest:
    """What asks for an export; `pictures` as in Model.export."""
    request = pb.ExportRequest(model=model, layer=layer, method=method, weights_name=weights_name)
    if pictures is not False:
        request.pictures.CopyFrom(pb.Preprocessing() if pictures is True else Preprocessing.of(pictures).message())
    return request


def weights_name(path: Path | None) -> str:
    """What the second file of an export is called, if there has to be one."""
    return f"{path.name}.data" if path else ""


@contextlib.contextmanager
def saved(path: Path) -> Iterator[Take]:
    """Takes an export and writes it beside its place; moves it there, weights first, once it is whole."""
    places = {MODEL: path, weights_name(path): path.with_name(weights_name(path))}
    unfinished = {name: place.with_name(f"{place.name}.part") for name, place in places.items()}
    with contextlib.ExitStack() as left:
        left.callback(lambda: [part.unlink(missing_ok=True) for part in unfinished.values()])

        def opened(name: str) -> BinaryIO:
            if name not in unfinished:
                raise CorruptModel(f"the export holds a file {name!r} that was not asked for")
            return left.enter_context(unfinished[name].open("wb"))

        arrival = Arrival(opened)
        try:
            yield arrival.take
            arrival.finish()
            for name, part in reversed(unfinished.items()):
                if part.exists():
                    part.replace(places[name])
        except OSError as error:
            raise BadQuestion(f"the export cannot be written to {str(path)!r}: {error.strerror}") from None


@contextlib.contextmanager
def kept(buffer: io.BytesIO) -> Iterator[Take]:
    """Takes an export into memory; BadQuestion when it does not fit into one file."""

    def opened(name: str) -> BinaryIO:
        if name != MODEL:
            raise BadQuestion("the model is too large to be exported as one file of bytes: export it to a path")
        return buffer

    arrival = Arrival(opened)
    yield arrival.take
    arrival.finish()
