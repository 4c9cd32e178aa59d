"""The examination of a file runs in a process of its own, and nothing it does reaches the front."""

import asyncio
import itertools
import logging
import os
import select
import subprocess
import sys
from dataclasses import replace
from itertools import accumulate
from pathlib import Path

import pytest

from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import BadModel, Overloaded
from backlit_server.admission.launcher import AT_ONCE, Launcher
from backlit_server.settings import Settings

WAIT = 10
COMMAND = (sys.executable, str(Path(__file__).with_name("fake_admission.py")))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(store=tmp_path, admission_seconds=WAIT)


@pytest.fixture
def launcher() -> Launcher:
    return Launcher(COMMAND)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tmp_path / "model.onnx"


async def test_the_card_comes_from_the_child(launcher, model, settings):
    model.write_text("succeed")
    card = await launcher.examine(model, settings)
    assert (card.producer, card.opset) == ("card", 21)


async def test_the_child_can_be_killed_with_its_children_and_competes_with_the_server_by_its_niceness(
    launcher, model, settings
):
    """Which counts between processes of one session only."""
    model.write_text("introduce")
    assert (await launcher.examine(model, settings)).producer == f"sid {os.getsid(0)}, leads a group"


async def test_an_export_is_written_whole_and_alone(launcher, model, settings, tmp_path):
    model.write_text("succeed")
    out = tmp_path / "out" / "export.onnx"
    out.parent.mkdir()
    await launcher.export(model, out, pb.ExportRequest(layer="/features/relu"), settings)
    told = pb.Card.FromString(out.read_bytes()).producer
    assert told == "export --layer=/features/relu --method=grad-cam --weights=model.onnx.data"
    assert list(out.parent.iterdir()) == [out]


async def test_weights_are_told_and_their_values_written_alone(launcher, model, settings, tmp_path):
    model.write_text("weigh")
    out = tmp_path / "out" / "values"
    out.parent.mkdir()
    about = await launcher.weights(model, out, "-first conv", settings)
    assert (about.node, out.read_bytes()) == ("--layer=-first conv", b"the values")
    assert list(out.parent.iterdir()) == [out]


@pytest.mark.parametrize("behaviour", ["refuse", "nothing", "garbage", "crash"])
async def test_weights_that_cannot_be_read_leave_no_file(launcher, model, settings, tmp_path, behaviour):
    model.write_text(behaviour)
    out = tmp_path / "out" / "values"
    out.parent.mkdir()
    with pytest.raises(BadModel):
        await launcher.weights(model, out, "conv", settings)
    with pytest.raises(BadModel):
        await launcher.list_weights(model, settings)
    assert list(out.parent.iterdir()) == []


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        ("refuse", r"^no model: it is empty$"),
        ("crash", r"ended with SIGSEGV: the file crashes"),
        ("swell", r"ended with SIGKILL: the file crashes"),
        ("babble", r"^examining the model failed with status 3; the server's log says why$"),
        ("fail", r"^examining the model failed with status 1; the server's log says why$"),
        ("nothing", r"without a result"),
        ("garbage", r"without a result"),
        ("half", r"failed with status 1"),
    ],
)
async def test_whatever_else_the_child_does_is_a_bad_model(launcher, model, settings, behaviour, words):
    model.write_text(behaviour)
    with pytest.raises(BadModel, match=words) as caught:
        await launcher.examine(model, settings)
    assert str(model.parent) not in str(caught.value)


async def test_where_linux_ends_children_for_want_of_memory_the_file_is_not_to_blame(
    launcher, model, settings, monkeypatch
):
    ended = itertools.count()
    monkeypatch.setattr("backlit_server.limits.ended", lambda: next(ended))
    model.write_text("swell")
    with pytest.raises(Overloaded, match="for want of memory: upload it again when less is going on"):
        await launcher.examine(model, settings)


async def test_the_details_of_a_refusal_arrive(launcher, model, settings):
    model.write_text("refuse")
    with pytest.raises(BadModel) as caught:
        await launcher.examine(model, settings)
    assert caught.value.details == {"size": "0"}


@pytest.mark.parametrize("behaviour", ["refuse", "nothing", "half", "crash"])
async def test_a_failed_export_leaves_no_file(launcher, model, settings, tmp_path, behaviour):
    model.write_text(behaviour)
    out = tmp_path / "out" / "export.onnx"
    out.parent.mkdir()
    with pytest.raises(BadModel):
        await launcher.export(model, out, pb.ExportRequest(), settings)
    assert list(out.parent.iterdir()) == []


async def test_a_child_that_hangs_is_killed_with_its_own_children(launcher, model, settings, tmp_path):
    model.write_text(f"hang {tmp_path / 'pids'}")
    with pytest.raises(BadModel, match="took longer than 1 s"):
        await launcher.examine(model, replace(settings, admission_seconds=1))
    assert_gone(tmp_path / "pids")


async def test_leaving_kills_the_child(launcher, model, settings, tmp_path):
    pids = tmp_path / "pids"
    model.write_text(f"hang {pids}")
    task = asyncio.create_task(launcher.examine(model, settings))
    async with asyncio.timeout(WAIT):
        while not (pids.exists() and pids.read_text()):
            await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert_gone(pids)


async def test_endless_output_is_cut_and_spelled_out_in_the_log(launcher, model, settings, caplog):
    caplog.set_level(logging.INFO)
    model.write_text("flood")
    assert (await launcher.examine(model, settings)).opset == 21
    lines = [record.getMessage() for record in caplog.records if record.name.endswith("launcher")]
    assert lines[0] == r"\x1b[2J line"
    assert sum(map(len, lines)) < 200_000


async def test_two_examinations_run_at_once_and_others_wait(launcher, model, settings, tmp_path):
    diary = tmp_path / "diary"
    model.write_text(f"meet {diary}")
    await asyncio.gather(*(launcher.examine(model, settings) for _ in range(6)))
    running = list(accumulate(1 if sign == "+" else -1 for sign in diary.read_text()))
    assert len(running) == 12
    assert max(running) <= AT_ONCE


def assert_gone(pids: Path) -> None:
    """None of the processes whose numbers are in the file is left."""
    for pid in map(int, pids.read_text().split()):
        try:
            process = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        ended, _, _ = select.select([process], [], [], WAIT)
        os.close(process)
        assert ended, f"process {pid} is still there"


FRONT = """
import asyncio, sys
from pathlib import Path
from backlit_server.admission.launcher import Launcher
from backlit_server.settings import Settings

asyncio.run(Launcher().examine(Path(sys.argv[1]), Settings(store=Path("."))))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent has died")
def test_no_examination_outlives_a_front_that_is_killed(tmp_path):
    os.mkfifo(model := tmp_path / "model.onnx")  # the child waits for its bytes for ever
    with subprocess.Popen([sys.executable, "-c", FRONT, str(model)], cwd=tmp_path) as front:
        reader = os.open(model, os.O_WRONLY)  # returns when the child reads
        front.kill()
    poll = select.poll()
    poll.register(reader, 0)
    gone = poll.poll(WAIT * 1000)
    os.close(reader)
    assert gone, "the examination is still there"
