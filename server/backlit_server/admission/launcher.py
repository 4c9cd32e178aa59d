"""Runs the examination of an uploaded file in a process of its own, and bounds it: the front never parses a model.

The child is `python -m backlit_server.admission card|export MODEL --result FILE ...`. It writes its result and
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

from google.protobuf.message import DecodeError

from backlit_proto import backlit_pb2 as pb
from backlit_proto import parts
from backlit_proto.errors import BacklitError, BadModel, Overloaded, revive
from backlit_server.methods import DEFAULT_METHOD
from backlit_server.settings import Settings

COMMAND = (sys.executable, "-P", "-m", "backlit_server.admission")
REFUSED = 3
AT_ONCE = 2
MOST_OUTPUT = 1 << 16
MOST_CARD = 16 << 20
NO_RESULT = "the model was examined without a result; the server's log says more"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Launcher:
    """Examines model files, AT_ONCE at a time; others wait for their turn."""

    command: Sequence[str] = COMMAND
    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))

    async def examine(self, model: Path, settings: Settings) -> pb.Card:
        """The card of a model; BadModel, or what else the child refuses with."""
        with tempfile.TemporaryDirectory(prefix="backlit-") as folder:
            result = Path(folder) / "card"
            async with self.turns:
                await _run([*self.command, "card", str(model), "--result", str(result)], settings.admission_seconds)
            return _card(result)

    async def export(self, model: Path, out: Path, asked: pb.ExportRequest, settings: Settings) -> None:
        """Writes the rewritten model to `out`, whole or not at all; refuses as examine() does."""
        with tempfile.TemporaryDirectory(prefix="backlit-", dir=out.parent) as folder:
            result = Path(folder) / "model.onnx"
            told = ["--result", str(result), f"--layer={asked.layer}", f"--method={asked.method or DEFAULT_METHOD}"]
            told += [f"--weights={asked.weights_name or parts.WEIGHTS}"]
            async with self.turns:
                await _run([*self.command, "export", str(model), *told], settings.admission_seconds)
            if not result.is_file():
                raise BadModel(NO_RESULT)
            if (listing := parts.listing_beside(result)).exists():
                os.replace(listing, parts.listing_beside(out))
            os.replace(result, out)


async def _run(command: Sequence[str], seconds: float) -> None:
    """Runs the child to its end, at most for so long, and leaves none of its processes behind."""
    try:
        child = await asyncio.create_subprocess_exec(
            *command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # a process group of its own, so that all of it can be killed
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
        return BadModel(f"examining the model ended with {name}: the file crashes what would have to run it")
    try:
        told = json.loads(output)
        refusal = revive(told["reason"], told["message"], {str(k): str(v) for k, v in told["details"].items()})
    except (ValueError, KeyError, TypeError, AttributeError):
        refusal = None
    if status != REFUSED or refusal is None:
        return BadModel(f"examining the model failed with status {status}; the server's log says why")
    return refusal


def _card(result: Path) -> pb.Card:
    try:
        if result.stat().st_size > MOST_CARD:
            raise BadModel(f"the description of the model is larger than {MOST_CARD >> 20} MB; it has too many layers")
        return pb.Card.FromString(result.read_bytes())
    except (OSError, DecodeError) as error:
        log.error("the examination left no card: %s", error)
        raise BadModel(NO_RESULT) from None


def _log(complaints: bytes) -> None:
    """What the child printed; a model has a say in it, so that bytes that move cursors are spelled out."""
    for line in complaints.decode(errors="backslashreplace").splitlines():
        log.info("%s", line.encode("unicode_escape").decode())
