"""Traces: from a caller's span through the server to the worker, as a collector receives them."""

import subprocess
import sys
import textwrap
from collections.abc import Iterator
from concurrent import futures
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as otlp
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as otlp_services
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from opentelemetry.sdk.trace import TracerProvider

import backlit
from backlit.tracing import traceparent
from backlit_server.service.tracing import traces
from backlit_server.settings import BadSettings, Settings
from backlit_server.story import STAGES
from real_server import real_server
from stand_ins import collected, open_house, question, refusal, upload

EXPLAIN = "backlit.v1.ExplanationService/Explain"


@dataclass
class Collector(otlp_services.TraceServiceServicer):
    """Keeps the spans that are sent to it."""

    address: str = ""
    spans: list[Span] = field(default_factory=list)
    services: set[str] = field(default_factory=set)

    def Export(self, request, context):  # noqa: N802 - the contract names the methods
        for resource in request.resource_spans:
            self.services |= {a.value.string_value for a in resource.resource.attributes if a.key == "service.name"}
            self.spans += [span for scope in resource.scope_spans for span in scope.spans]
        return otlp.ExportTraceServiceResponse()

    def named(self, name: str) -> list[Span]:
        return [span for span in self.spans if span.name == name]

    def below(self, parent: Span) -> list[Span]:
        """The spans right below one, the earlier first."""
        children = [span for span in self.spans if span.parent_span_id == parent.span_id]
        return sorted(children, key=lambda span: span.start_time_unix_nano)


@pytest.fixture
def collector() -> Iterator[Collector]:
    found, server = Collector(), grpc.server(futures.ThreadPoolExecutor(1))
    otlp_services.add_TraceServiceServicer_to_server(found, server)
    found.address = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    yield found
    server.stop(0).wait()


def inside(span: Span, other: Span) -> bool:
    """Whether the one begins and ends while the other lasts."""
    begun, ended = span.start_time_unix_nano, span.end_time_unix_nano
    return other.start_time_unix_nano <= begun <= ended <= other.end_time_unix_nano


def attributes(span: Span) -> dict[str, Any]:
    return {a.key: getattr(a.value, str(a.value.WhichOneof("value"))) for a in span.attributes}


def test_a_question_is_one_trace_from_its_caller_to_the_worker(collector, shared: Path, tmp_path):
    """A real server, a real model, and the collector's side of the protocol."""
    tracer = TracerProvider().get_tracer("the caller's own")
    with (
        real_server(tmp_path, "--trace-endpoint", collector.address) as address,
        backlit.connect(address) as server,
    ):
        model = server.upload(shared / "models" / "digits40-cnn-gap.onnx", name="digits")
        with tracer.start_as_current_span("caller") as caller:
            model.explain(np.zeros((1, 40, 40), np.float32), method="grad-cam")
    assert collector.services == {"backlit-server"}
    (call,) = collector.named(EXPLAIN)
    assert call.kind == Span.SPAN_KIND_SERVER
    context = caller.get_span_context()
    assert (int.from_bytes(call.trace_id), int.from_bytes(call.parent_span_id)) == (context.trace_id, context.span_id)
    about = attributes(call)
    assert (about["rpc.system"], about["rpc.service"], about["rpc.method"]) == ("grpc", *EXPLAIN.split("/"))
    assert about["backlit.outcome"] == "OK"
    (asked,) = collector.below(call)
    assert attributes(asked) == {"backlit.model": "digits", "backlit.method": "grad-cam", "backlit.outcome": "OK"}
    assert inside(asked, call)
    stages = collector.below(asked)
    assert {span.name for span in stages} == set(STAGES)  # the first question: its model is opened too
    assert stages[0].name == "queue"
    for span in stages:
        seconds = (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9
        assert inside(span, asked)
        assert 0 <= attributes(span)["backlit.seconds"] <= seconds + 1e-5


async def test_only_what_is_the_servers_fault_is_an_error(collector, tmp_path):
    async with open_house(tmp_path, trace_endpoint=collector.address) as house:
        await upload(house, name="demo")
        await refusal(collected(house.explanations.Explain(question(method="lost"))))
        await refusal(collected(house.explanations.Explain(question(model="nobody"))))
    lost, unknown = collector.named(EXPLAIN)
    assert (lost.status.code, unknown.status.code) == (Status.STATUS_CODE_ERROR, Status.STATUS_CODE_UNSET)
    assert [attributes(span)["backlit.outcome"] for span in (lost, unknown)] == ["WORKER_LOST", "UNKNOWN_MODEL"]
    assert not lost.parent_span_id  # its caller has no trace: here one begins


async def test_a_line_of_the_log_names_the_trace(collector, tmp_path, caplog):
    with caplog.at_level("INFO"):
        async with open_house(tmp_path, trace_endpoint=collector.address) as house:
            await upload(house, name="demo")
    (line,) = [record for record in caplog.records if record.getMessage() == "Upload OK"]
    (call,) = collector.named("backlit.v1.ModelService/Upload")
    assert line.facts["trace"] == call.trace_id.hex()


def test_without_a_collector_nothing_of_opentelemetry_is_imported():
    script = """
        import sys
        import backlit
        from backlit_server.service.command import run
        from backlit_server.service.tracing import UNTRACED, traces
        from backlit_server.settings import Settings
        assert traces(Settings()) is UNTRACED
        assert not [name for name in sys.modules if name.startswith("opentelemetry")]
        from backlit.tracing import traceparent
        assert traceparent() == ()
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True)


def test_a_collector_without_the_packages_is_no_setting_to_start_with(monkeypatch):
    monkeypatch.setitem(sys.modules, "backlit_server.service.spans", None)
    with pytest.raises(BadSettings, match=r"pip install 'backlit\[server,tracing\]'"):
        traces(Settings(trace_endpoint="http://localhost:4317"))


def test_a_caller_tells_the_trace_it_is_in_and_no_other():
    assert traceparent() == ()
    with TracerProvider().get_tracer("caller").start_as_current_span("caller") as span:
        context = span.get_span_context()
        told = f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
        assert dict(traceparent())["traceparent"] == told
    assert traceparent() == ()
