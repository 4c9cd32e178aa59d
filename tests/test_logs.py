"""What the server writes about its callers."""

import asyncio
import json
import re
import signal
from collections.abc import Sequence
from pathlib import Path

import grpc

from backlit_proto import backlit_pb2_grpc as services
from processes import (
    MODEL,
    models,
    server,
)
from stand_ins import collected, question, upload_parts

RUDE = "\x1b[31mred\n2026-01-01 a made-up line"


async def log_of_a_rude_caller(folder: Path, style: Sequence[str]) -> list[str]:
    """What the server writes about an upload, a question, a defect, and a name full of control characters."""
    with server(folder, *style) as started:
        async with grpc.aio.insecure_channel(started.address()) as channel:
            metadata = [("x-request-id", "audit-7")]
            await models(channel).Upload(iter(upload_parts(MODEL, name="demo")), metadata=metadata)
            explain = services.ExplanationServiceStub(channel).Explain
            await collected(explain(question(method="grad-cam")))
            for request in (question(method="defect"), question(model=RUDE), question(method=RUDE)):
                await asyncio.wait([asyncio.ensure_future(collected(explain(request)))])
        started.process.send_signal(signal.SIGTERM)
        assert started.stopped() == 0
        return started.log.read_text().splitlines()[1:]  # the first is the stand-in's own


async def test_json_logs_are_objects_with_all_that_an_audit_needs(tmp_path):
    entries = [json.loads(line) for line in await log_of_a_rude_caller(tmp_path, ["--log-format", "json"])]
    calls = [entry for entry in entries if "rpc" in entry]
    assert [(c["rpc"], c["status"], c.get("method")) for c in calls] == [
        ("Upload", "OK", None),
        ("Explain", "OK", "grad-cam"),
        ("Explain", "INTERNAL", "defect"),
        ("Explain", "NOT_FOUND", None),
        ("Explain", "OK", RUDE),
    ]
    (start,) = [entry for entry in entries if entry["message"] == "listening"]
    assert (start["devices"], start["precision"], start["tf32"]) == ("cpu (CPUExecutionProvider)", "single", False)
    first = calls[0]
    assert first["request"] == "audit-7"
    assert re.fullmatch(r"[0-9a-f]{64}", first["model"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first["time"])
    assert first["milliseconds"] >= 0
    assert len({call["request"] for call in calls}) == len(calls)
    (defect,) = [entry for entry in entries if "trace" in entry]
    assert "secret path" in defect["trace"]
    assert defect["request"] == calls[2]["request"]


async def test_human_logs_show_control_characters_as_escapes_and_let_nobody_make_up_lines(tmp_path):
    lines = await log_of_a_rude_caller(tmp_path, [])
    assert not any(character for line in lines for character in line if not character.isprintable())
    heads = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (INFO|ERROR|WARNING) |    \| ")
    assert all(heads.match(line) for line in lines), lines
    assert any("method=\\x1b[31mred\\n2026" in line for line in lines)
