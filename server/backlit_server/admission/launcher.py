"""Runs the examination of an uploaded file in a process of its own, and bounds it: the front never parses a model.

The child is `python -m backlit_server.admission card|export|... MODEL --result FILE ...`. It writes its result and
exits with 0, or refuses: status REFUSED and JSON of reason, message and details on stdout. However else it ends,
the file is to blame: models of 80 bytes crash ONNX Runtime, or keep it busy for ever.
"""

import asyncio
import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from backlit_proto import backlit_pb2 as pb
from backlit_proto import parts
from backlit_proto.errors import BacklitError, BadModel, Overloaded, revive
from backlit_server import limits
from backlit_server.methods import DEFAULT_METHOD
from backlit_server.settings import Settings

COMMAND = (sys.executable, "-P", "-m", "backlit_server.admission")
REFUSED = 3
AT_ONCE = 2
VALUES = ".values"  # behind the name of a result: the values it is about
MOST_OUTPUT = 1 << 16
MOST_CARD = 16 << 20
NO_RESULT = "the model was examined without a result; the server's log says more"

M = TypeVar("M", bound=Message)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Launcher:
    """Examines model files, AT_ONCE at a time; others wait for their turn."""

    command: Sequence[str] = COMMAND
    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))

    async def examine(self, model: Path, settings: Settings) -> pb.Card:
        """The card of a model; BadModel, or what else the child refuses with."""
        return await self._told("card", model, settings, pb.Card)

    async def list_weights(self, model: Path, settings: Settings) -> pb.ListWeightsResponse:
        """The convolutions and dense layers of a model; refuses as examine() does."""
        return await self._told("list-weights", model, settings, pb.ListWeightsResponse)

    async def weights(self, model: Path, out: Path, layer: str, settings: Settings) -> pb.Weights:
        """What the weights of a layer are; writes their values to `out`. Refuses as examine() does."""
        with tempfile.TemporaryDirectory(prefix="backlit-", dir=out.parent) as folder:
            result = Path(folder) / "weights"
            async with self.turns:
                await _run(self._words("weights", model, result, f"--layer={layer}"), settings.admission_seconds)
            about = _message(result, pb.Weights)
            os.replace(result.with_suffix(VALUES), out)
            return about

    async def export(self, model: Path, out: Path, asked: pb.ExportRequest, settings: Settings) -> None:
        """Writes the rewritten model to `out`, whole or not at all; refuses as examine() does."""
        with tempfile.TemporaryDirectory(prefix="backlit-", dir=out.parent) as folder:
            result = Path(folder) / "model.onnx"
            told = [f"--layer={asked.layer}", f"--method={asked.method or DEFAULT_METHOD}"]
            told += [f"--weights={asked.weights_name or parts.WEIGHTS}"]
            told += [f"--pictures={asked.pictures.SerializeToString().hex()}"] if asked.HasField("pictures") else []
            async with self.turns:
                await _run(self._words("export", model, result, *told), settings.admission_seconds)
            if not result.is_file():
                raise BadModel(NO_RESULT)
            if (listing := parts.listing_beside(result)).exists():
                os.replace(listing, parts.listing_beside(out))
            os.replace(result, out)

    async def _told(self, action: str, model: Path, settings: Settings, kind: type[M]) -> M:
        """The one message that the child writes."""
        with tempfile.TemporaryDirectory(prefix="backlit-") as folder:
            result = Path(folder) / "result"
            async with self.turns:
                await _run(self._words(action, model, result), settings.admission_seconds)
            return _message(result, kind)

    def _words(self, action: str, model: Path, result: Path, *options: str) -> list[str]:
        return [*self.command, action, str(model), "--result", str(result), *options]


async def _run(command: Sequence[str], seconds: float) -> None:
    """Runs the child to its end, at most for so long, and leaves none of its processes behind."""
    before = limits.ended()
    try:
        child = await asyncio.create_subprocess_exec(
            *command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # One of its own, so that all of it can be killed. Not a session: Linux gives sessions equal shares of the
            # processor (autogroup), however nice the processes in them are.
            process_group=0,
        )
    except OSError as error:
        raise Overloaded(f"no process can be started to examine the model: {error.strerror}") from error
    try:
        async with asyncio.timeout(seconds):
            output, complaints = await asyncio.gather(_read(child.stdout), _read(child.stderr))
            status = await child.wait()
    except TimeoutError:
        raise BadModel(f"examining the model took longer than {seconds} s; a simpler graph may pass") from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        await child.wait()
    _log(complaints)
    if status == -signal.SIGKILL and limits.ended() > before:
        raise Overloaded("examining the model was ended for want of memory: upload it again when less is going on")
    if status:
        raise _refusal(status, output)


async def _read(stream: asyncio.StreamReader | None) -> bytes:
    """All that comes, of which the first MOST_OUTPUT bytes are kept."""
    kept = b""
    while stream and (chunk := await stream.read(MOST_OUTPUT)):
        kept += chunk[: MOST_OUTPUT - len(kept)]
    return kept


def _refusal(status: int, output: bytes) -> BacklitError:
    if status < 0:
        name = signal.Signals(-status).name
        why = "the file crashes what would have to run it, or needs more memory than an examination may take"
        return BadModel(f"examining the model ended with {name}: {why}")
    try:
        told = json.loads(output)
        refusal = revive(told["reason"], told["message"], {str(k): str(v) for k, v in told["details"].items()})
    except (ValueError, KeyError, TypeError, AttributeError):
        refusal = None
    if status != REFUSED or refusal is None:
        return BadModel(f"examining the model failed with status {status}; the server's log says why")
    return refusal


def _message(result: Path, kind: type[M]) -> M:
    try:
        if result.stat().st_size > MOST_CARD:
            raise BadModel(f"the description of the model is larger than {MOST_CARD >> 20} MB; it has too many layers")
        return kind.FromString(result.read_bytes())
    except (OSError, DecodeError) as error:
        log.error("the examination left no %s: %s", kind.DESCRIPTOR.name, error)
        raise BadModel(NO_RESULT) from None


def _log(complaints: bytes) -> None:
    """What the child printed; a model has a say in it, so that bytes that move cursors are spelled out."""
    for line in complaints.decode(errors="backslashreplace").splitlines():
        log.info("%s", line.encode("unicode_escape").decode())
