"""The `doctor` command: what backlit can do with a file, found out here, in a process of its own."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from argparse import Namespace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from backlit.diagnosis import shown
from backlit.files import ModelFile
from backlit_proto.errors import BacklitError, BadModel, ServerUnavailable
from backlit_proto.parts import MODEL, listing, listing_beside

NEEDED = ("backlit_server", "onnx", "onnxruntime")
COMMAND = (sys.executable, "-P", "-m", "backlit_server.admission", "doctor")
SECONDS = 180  # a model of gigabytes takes a minute
TOLD = 300  # characters of what a process that failed said last
UNREADABLE, NOT_EXAMINED = 2, 3


def doctor(args: Namespace) -> int:
    """Prints what there is to say; the exit status tells how much of it is good: 0 all, 1 some, 2 none, 3 unknown."""
    try:
        report = examined(args.file)
    except ServerUnavailable as error:
        print(f"backlit: {error}", file=sys.stderr)
        return NOT_EXAMINED
    except BacklitError as error:
        report = {"status": UNREADABLE, "refusal": {"reason": error.reason(), "message": error.message}}
    report["file"] = {"name": str(args.file), **report.get("file", {})}
    print(json.dumps(report, indent=2) if args.json else shown(report))
    return report["status"]


def examined(file: Path) -> dict[str, Any]:
    """The report of a process that may crash, hang or grow over the file; BadModel says how it ended."""
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise ServerUnavailable(f"the doctor works here and needs {', '.join(missing)}: pip install 'backlit[server]'")
    with tempfile.TemporaryDirectory(prefix="backlit-") as folder:
        result = Path(folder) / "report"
        with (Path(folder) / "log").open("w+b") as log:
            status = _run([*COMMAND, str(_together(file, Path(folder))), "--result", str(result)], log.fileno())
            log.seek(0)
            said = log.read()[-TOLD:].decode(errors="backslashreplace")
        if status or not result.is_file():
            raise BadModel(_ending(status, said))
        return json.loads(result.read_bytes())


def _together(file: Path, folder: Path) -> Path:
    """A model of one file where it is; one of several as one run of bytes, as the server keeps it."""
    model = ModelFile.of(file)
    if not model.files:
        return file
    whole = folder / MODEL
    with whole.open("wb") as out:
        for chunk in model.chunks(0):
            out.write(chunk)
    listing_beside(whole).write_bytes(listing(model.files))
    return whole


def _run(command: list[str], log: int) -> int:
    """The exit status; the process and what it started are gone afterwards."""
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log, start_new_session=True
    )
    try:
        return process.wait(SECONDS)
    except subprocess.TimeoutExpired:
        raise BadModel(f"examining the model took longer than {SECONDS} s; a simpler graph may pass") from None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _ending(status: int, said: str) -> str:
    if status < 0:
        name = signal.Signals(-status).name
        why = "the file crashes what would have to run it, or needs more memory than an examination may take"
        return f"examining the model ended with {name}: {why}"
    return f"examining the model failed with status {status}: {' '.join(said.split()) or 'it said nothing'}"
