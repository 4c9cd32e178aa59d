"""Spans of calls, of questions and of what workers did for them, where --trace-endpoint says who collects them.

A span is held by what it belongs to and never made the current one: calls are generators, which may leave a context
elsewhere than they entered it. OpenTelemetry is imported when traces are asked for, and by nothing else.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self

from backlit_server.settings import BadSettings, Settings


class Span(Protocol):
    """What lasts from one moment to another; moments are those of time.monotonic()."""

    @property
    def trace(self) -> str:
        """The id of the trace, for the log."""
        ...

    def child(self, name: str, start: float, **attributes: str | float) -> "Span": ...
    def end(self, at: float, code: str = "OK", **attributes: str | float) -> None: ...


class Traces(Protocol):
    """Where spans begin; `metadata` may tell what a call belongs to."""

    def call(self, method: str, metadata: Mapping[str, Any]) -> Span: ...
    async def stop(self) -> None: ...


@dataclass(frozen=True)
class Untraced:
    """A span of which nothing is kept, and where it begins: nobody collects any."""

    trace: str = ""

    def call(self, method: str, metadata: Mapping[str, Any]) -> Self:
        return self

    def child(self, name: str, start: float, **attributes: str | float) -> Self:
        return self

    def end(self, at: float, code: str = "OK", **attributes: str | float) -> None:
        pass

    async def stop(self) -> None:
        pass


UNTRACED = Untraced()


def traces(settings: Settings) -> Traces:
    """Spans for the collector that the settings name; BadSettings where OpenTelemetry is not installed."""
    if not settings.trace_endpoint:
        return UNTRACED
    try:
        from backlit_server.service.spans import collected
    except ImportError:
        raise BadSettings("--trace-endpoint needs OpenTelemetry: pip install 'backlit[server,tracing]'") from None
    return collected(settings.trace_endpoint)
