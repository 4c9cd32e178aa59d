"""Where a server listens and how to enter: address, certificates, token, channel options."""

import json
import re
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import grpc
from grpc.experimental import ChannelOptions

from backlit_proto.errors import BadQuestion

DEFAULT_PORT = 50051
LARGEST_MESSAGE = 64 * 2**20  # bytes, as the server's own limit
LOOPBACK = re.compile(r"^(localhost|127\.[\d.]+|\[::1\])(:|$)")

# Reading calls may be asked again without harm; questions are not, they may be what killed the worker.
RETRIED = {
    "methodConfig": [
        {
            "name": [
                {"service": "backlit.v1.ModelService", "method": "Get"},
                {"service": "backlit.v1.ModelService", "method": "List"},
                {"service": "backlit.v1.ModelService", "method": "GetUpload"},
                {"service": "backlit.v1.ModelService", "method": "ListWeights"},
                {"service": "backlit.v1.ExplanationService", "method": "ListMethods"},
                {"service": "backlit.v1.MetricsService", "method": "GetMetrics"},
            ],
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.1s",
                "maxBackoff": "1s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ]
}


@dataclass(frozen=True)
class Endpoint:
    """One server as one caller sees it; `timeout` (seconds) is for calls that give none, None is no deadline."""

    address: str
    token: str | None = None
    tls: bool = False
    ca: str | PathLike[str] | None = None
    cert: str | PathLike[str] | None = None
    key: str | PathLike[str] | None = None
    timeout: float | None = None

    @property
    def target(self) -> str:
        """The address with a port."""
        has_port = re.search(r":\d+$", self.address) or "/" in self.address or self.address.startswith("unix:")
        return self.address if has_port else f"{self.address}:{DEFAULT_PORT}"

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What every call carries: the bearer token, where there is one."""
        return (("authorization", f"Bearer {self.token}"),) if self.token else ()

    def options(self) -> list[tuple[str, str | int]]:
        """Channel options: message sizes, keepalive, retries, no proxy on the way to this very machine."""
        return [
            ("grpc.max_send_message_length", LARGEST_MESSAGE),
            ("grpc.max_receive_message_length", LARGEST_MESSAGE),
            # A stream is read by the thread that asked: no thread a call, and half a millisecond less an answer.
            (ChannelOptions.SingleThreadedUnaryStream, 1),
            ("grpc.keepalive_time_ms", 60_000),
            ("grpc.keepalive_timeout_ms", 20_000),
            ("grpc.service_config", json.dumps(RETRIED)),
            ("grpc.enable_http_proxy", 0 if LOOPBACK.match(self.address) else 1),
        ]

    def credentials(self) -> grpc.ChannelCredentials | None:
        """TLS when asked for or when a certificate is given; None: plaintext."""
        if bool(self.cert) != bool(self.key):
            raise BadQuestion("cert and key belong together: give both, or none")
        if not (self.tls or self.ca or self.cert):
            return None
        return grpc.ssl_channel_credentials(_read("ca", self.ca), _read("key", self.key), _read("cert", self.cert))


def _read(what: str, path: str | PathLike[str] | None) -> bytes | None:
    if path is None:
        return None
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise BadQuestion(f"{what} cannot be read from {str(path)!r}: {error.strerror}") from None
