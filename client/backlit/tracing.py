"""The caller's trace goes along, where the caller has one: a `traceparent` (W3C Trace Context) beside the request."""

import sys


def traceparent() -> tuple[tuple[str, str], ...]:
    """Metadata for one call. A span can only be current where somebody has imported OpenTelemetry, so nobody else pays.

    Whatever propagators the caller has set are followed; by default that is W3C Trace Context with its baggage.
    """
    if "opentelemetry.trace" not in sys.modules:
        return ()
    from opentelemetry import propagate

    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return tuple((name.lower(), value) for name, value in carrier.items())
