"""A server of one's own, for as long as a connection needs it."""

import contextlib
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from importlib.util import find_spec
from queue import Empty, SimpleQueue
from typing import IO

from backlit_proto.errors import ServerUnavailable

NEEDED = ("backlit_server", "onnx", "onnxruntime")
COMMAND = (sys.executable, "-m", "backlit_server", "--port", "0", "--private")
ANNOUNCEMENT = "backlit-server listening on "
START_SECONDS = 120  # a cold disk and a large onnxruntime take their time
STOP_SECONDS = 40  # longer than the server's own grace period
TOLD = 2000  # characters of the server's log in an error


@contextlib.contextmanager
def private_server() -> Iterator[str]:
    """Starts a server on a free loopback port, gives its address, stops it in the end.

    It keeps its models where every server of this user does, so a model uploaded once is there the next time. Its
    standard input is a pipe from here: it stops when the pipe closes, even if this process is killed.
    """
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise ServerUnavailable(
            f"a private server needs {', '.join(missing)}: pip install 'backlit[server]', "
            "or give the address of a running server"
        )
    with tempfile.TemporaryFile() as log:
        # A session of its own: Ctrl-C at the terminal is for the caller, who then closes the pipe.
        process = subprocess.Popen(
            COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True
        )
        lines: SimpleQueue[str] = SimpleQueue()
        reader = threading.Thread(target=_read, args=(process.stdout, lines), daemon=True)
        reader.start()
        try:
            yield _address(lines, log)
        finally:
            _stop(process)
            reader.join()


def _read(out: IO[str], lines: SimpleQueue[str]) -> None:
    """Hands on every line, and "" at the end: a full pipe would stop the server."""
    with out:
        for line in out:
            lines.put(line)
    lines.put("")


def _address(lines: SimpleQueue[str], log: IO[bytes]) -> str:
    try:
        line = lines.get(timeout=START_SECONDS)
    except Empty:
        raise ServerUnavailable(f"the private server did not start within {START_SECONDS} s: {_tail(log)}") from None
    if not line.startswith(ANNOUNCEMENT):
        raise ServerUnavailable(f"the private server did not start: {line.strip() or _tail(log)}")
    return line.removeprefix(ANNOUNCEMENT).strip()


def _tail(log: IO[bytes]) -> str:
    log.seek(0)
    return log.read().decode(errors="replace").strip()[-TOLD:] or "it said nothing"


def _stop(process: subprocess.Popen[str]) -> None:
    assert process.stdin  # a pipe, as asked for
    with contextlib.suppress(BrokenPipeError):  # it may have died before
        process.stdin.close()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
