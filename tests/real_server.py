"""The real server as a user starts it: a process of its own on a free port."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from backlit.private import ANNOUNCEMENT


@contextlib.contextmanager
def real_server(store: Path, *flags: str) -> Iterator[str]:
    """Its address; it is stopped in the end, and must stop well."""
    command = [sys.executable, "-m", "backlit_server", "--port", "0", "--store", str(store), "--private", *flags]
    with (
        (store / "log").open("wb") as log,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True) as process,
    ):
        assert process.stdin
        assert process.stdout
        line = process.stdout.readline()
        assert line.startswith(ANNOUNCEMENT), (store / "log").read_text()
        try:
            yield line.removeprefix(ANNOUNCEMENT).strip()
        finally:
            process.stdin.close()
        assert process.wait(60) == 0, (store / "log").read_text()
