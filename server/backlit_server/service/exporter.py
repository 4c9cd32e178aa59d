"""The port that Prometheus reads."""

import asyncio
from dataclasses import dataclass
from threading import Thread
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, start_http_server

from backlit_server.settings import BadSettings, Settings


@dataclass(frozen=True)
class Exporter:
    """An open port, served by threads of its own: a look at many series holds up no call."""

    address: str
    server: WSGIServer
    thread: Thread

    async def stop(self) -> None:
        await asyncio.to_thread(self.server.shutdown)
        self.thread.join()
        self.server.server_close()


def exporter(registry: CollectorRegistry, settings: Settings) -> Exporter | None:
    """Shows a registry over HTTP; None where the settings name no port for it."""
    if not settings.metrics_port:
        return None
    host, port = settings.metrics_host, settings.metrics_port
    address = f"{f'[{host}]' if ':' in host else host}:{port}"
    try:
        return Exporter(f"http://{address}/metrics", *start_http_server(port, host, registry))
    except OSError as error:
        raise BadSettings(f"cannot show metrics on {address}: {error.strerror}; choose --metrics-port") from None
