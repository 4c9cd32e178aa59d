"""Spans as OpenTelemetry has them."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

EXPORT_SECONDS = 3  # for one batch of spans: a collector that is away does not hold up a stop for long
FAULTS = {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}
"""The statuses that make a server's span an error, by OpenTelemetry's conventions; others are the caller's."""


@dataclass(frozen=True)
class Traced:
    """Where spans begin; a caller's `traceparent` (W3C Trace Context) says what a call belongs to."""

    provider: TracerProvider

    def call(self, method: str, metadata: Mapping[str, Any]) -> "Recording":
        service, _, rpc = method.strip("/").partition("/")
        about = {"rpc.system": "grpc", "rpc.service": service, "rpc.method": rpc}
        tracer = self.provider.get_tracer("backlit")
        parent = TraceContextTextMapPropagator().extract(metadata)
        return Recording(tracer, tracer.start_span(method.strip("/"), parent, trace.SpanKind.SERVER, about))

    async def stop(self) -> None:
        """Sends what has not been sent."""
        await asyncio.to_thread(self.provider.shutdown)


@dataclass(frozen=True)
class Recording:
    """A span that is collected."""

    tracer: trace.Tracer
    span: trace.Span

    @property
    def trace(self) -> str:
        return trace.format_trace_id(self.span.get_span_context().trace_id)

    def child(self, name: str, start: float, **attributes: str | float) -> "Recording":
        within = trace.set_span_in_context(self.span)
        span = self.tracer.start_span(name, within, attributes=_named(attributes), start_time=_nanoseconds(start))
        return Recording(self.tracer, span)

    def end(self, at: float, code: str = "OK", **attributes: str | float) -> None:
        self.span.set_attributes(_named(attributes))
        if code in FAULTS:
            self.span.set_status(trace.StatusCode.ERROR, code)
        self.span.end(_nanoseconds(at))


def collected(endpoint: str) -> Traced:
    """Spans that are sent to a collector by OTLP over gRPC, in the background."""
    provider = TracerProvider(resource=Resource.create({"service.name": "backlit-server"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint, timeout=EXPORT_SECONDS)))
    return Traced(provider)


def _named(attributes: Mapping[str, str | float]) -> dict[str, str | float]:
    return {f"backlit.{name}": value for name, value in attributes.items() if value != ""}


def _nanoseconds(moment: float) -> int:
    """Since 1970, of a moment on the monotonic clock."""
    return time.time_ns() - int((time.monotonic() - moment) * 1e9)
