"""model.json: what is known about a model, beside its bytes."""

import functools
from collections.abc import Iterable
from pathlib import Path

from google.protobuf import json_format

from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import BadQuestion, CorruptModel

PAGE = 50
LARGEST_PAGE = 1000
REMEMBERED = 1000  # models whose paths are

Signature = tuple[int, int, int]
"""What changes when a file does: inode, size, time of the last change in nanoseconds."""


@functools.lru_cache(REMEMBERED)
def files(models: Path, digest: str) -> tuple[Path, Path]:
    """Where a model lies, and what is known of it; to spell a path takes longer than to look at its file."""
    return models / digest / "model.onnx", models / digest / "model.json"


def signature(path: Path) -> Signature:
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def encoded(model: pb.Model) -> bytes:
    """The file's bytes; the name is not among them, it has a place of its own."""
    nameless = pb.Model()
    nameless.CopyFrom(model)
    nameless.name = ""
    return json_format.MessageToJson(nameless, preserving_proto_field_name=True).encode()


class Records:
    """Reads model.json files, each parsed once a change: a card takes milliseconds to parse."""

    def __init__(self) -> None:
        self._parsed: dict[Path, tuple[Signature, pb.Model]] = {}

    def read(self, path: Path) -> pb.Model:
        """The message, not to be changed; CorruptModel for a file that cannot be read as one."""
        now = signature(path)
        before, model = self._parsed.get(path, (None, pb.Model()))
        if before != now:
            model = _decoded(path)
            self._parsed[path] = now, model
        return model

    def forget(self, path: Path) -> None:
        self._parsed.pop(path, None)


def _decoded(path: Path) -> pb.Model:
    try:
        return json_format.Parse(path.read_text(encoding="utf-8"), pb.Model(), ignore_unknown_fields=True)
    except (json_format.ParseError, ValueError):  # ValueError: bytes that are not UTF-8
        raise CorruptModel(
            f"what is stored about model {path.parent.name[:16]} cannot be read any more: delete and upload it again"
        ) from None


def page(models: Iterable[pb.Model], size: int, token: str) -> tuple[list[pb.Model], str]:
    """At most `size` models after the one the token names, newest first, and the next token ("" at the end)."""
    size = min(size or PAGE, LARGEST_PAGE)
    ordered = sorted(models, key=_key, reverse=True)
    if token:
        after = _read(token)
        ordered = [model for model in ordered if _key(model) < after]
    for model in ordered[:size]:
        del model.class_names[:]
    more = len(ordered) > size
    return ordered[:size], _token(ordered[size - 1]) if more else ""


def _key(model: pb.Model) -> tuple[int, str]:
    return model.uploaded.ToNanoseconds(), model.digest


def _token(model: pb.Model) -> str:
    return f"{model.uploaded.ToNanoseconds()}-{model.digest}"


def _read(token: str) -> tuple[int, str]:
    time, _, digest = token.partition("-")
    if not time.isdecimal() or not digest:
        raise BadQuestion("the page token is not one that List gave")
    return int(time), digest
