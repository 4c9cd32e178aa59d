"""The server from start to stop."""

import asyncio
import logging
import os
import signal
import threading
from contextlib import suppress
from dataclasses import asdict, dataclass

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from backlit_proto import backlit_pb2_grpc as services
from backlit_server.execution import Execution
from backlit_server.service import transport
from backlit_server.service.access import Access
from backlit_server.service.calls import Calls
from backlit_server.service.explanations import ExplanationService
from backlit_server.service.exporter import Exporter, exporter
from backlit_server.service.figures import Figures
from backlit_server.service.health import SERVICES, Health
from backlit_server.service.metrics import Metrics
from backlit_server.service.models import ModelService
from backlit_server.service.neighbours import Admission, Pool
from backlit_server.service.tracing import Traces, traces
from backlit_server.service.watching import MetricsService
from backlit_server.settings import GB, BadSettings, Settings
from backlit_server.store import Store

LOG = logging.getLogger(__name__)
WORKERS_GRACE = 1.0  # seconds; when the workers are told to stop, no call is left


@dataclass(frozen=True)
class Front:
    """A server that listens, and what has to be told when it starts and stops."""

    server: grpc.aio.Server
    calls: Calls
    health: Health
    exporter: Exporter | None
    traces: Traces
    address: str


async def serve(settings: Settings, pool: Pool, admission: Admission) -> None:
    """Listens, says so on standard output once it can answer, and returns when it was told to stop and has stopped."""
    stop = _stop_requests(settings)
    front = await listening(settings, pool, admission)
    started = False
    try:
        started = await _started(pool, stop)
        if started:
            await _answer(settings, pool, front, stop)
    finally:
        await stopped(front, settings.grace_seconds)
        if started:
            await pool.stop(WORKERS_GRACE)
        LOG.info("stopped")


async def listening(settings: Settings, pool: Pool, admission: Admission) -> Front:
    """A server that can be reached, and turns calls away until its `calls` begin."""
    tls = transport.credentials(settings)
    access = [Access(settings.token_file)] if settings.token_file else []
    store = await asyncio.to_thread(opened, settings)
    metrics, health, tracing = Metrics(), Health(), traces(settings)
    metrics.registry.register(Figures(store, pool, asyncio.get_running_loop()))
    calls = Calls(metrics, tracing)
    server = grpc.aio.server(interceptors=(calls, *access), options=transport.options(settings))
    services.add_ModelServiceServicer_to_server(ModelService(store, pool, admission, settings, metrics), server)
    services.add_ExplanationServiceServicer_to_server(ExplanationService(store, pool, metrics), server)
    services.add_MetricsServiceServicer_to_server(MetricsService(metrics.registry), server)
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    if settings.reflection:
        names = (*SERVICES, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, server)
    address = transport.bind(server, settings, tls)
    shown = exporter(metrics.registry, settings)
    await server.start()
    return Front(server, calls, health, shown, tracing, address)


def opened(settings: Settings) -> Store:
    """The store of the settings; BadSettings where there can be none."""
    store = Store(settings.store, settings.max_store_gb * GB)
    try:
        store.open()
    except OSError as error:
        raise BadSettings(f"cannot keep models in {settings.store}: {error.strerror}; choose --store") from None
    return store


async def _started(pool: Pool, stop: asyncio.Event) -> bool:
    """Whether the workers came up before the server was told to stop."""
    starting, stopping = asyncio.create_task(pool.start()), asyncio.create_task(stop.wait())
    await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if starting.done():
        starting.result()
        return True
    starting.cancel()
    with suppress(asyncio.CancelledError):
        await starting
    return False


async def _answer(settings: Settings, pool: Pool, front: Front, stop: asyncio.Event) -> None:
    """Lets calls in until it is told to stop."""
    following = asyncio.create_task(front.health.follow(pool))
    front.calls.begin()
    _announce(settings, pool, front)
    await stop.wait()
    following.cancel()
    LOG.info("stopping; calls in flight have %d seconds", settings.grace_seconds)


def _announce(settings: Settings, pool: Pool, front: Front) -> None:
    if settings.token_file and not settings.tls_cert and not transport.loopback(settings.host):
        LOG.warning("the token travels in plaintext: anybody on the way can read it; give --tls-cert and --tls-key")
    devices = ", ".join(f"{device.name} ({device.provider})" for device in pool.devices)
    shown = {"metrics": front.exporter.address} if front.exporter else {}
    shown |= asdict(Execution.of(settings))
    facts = {"address": front.address, "tls": bool(settings.tls_cert), "devices": devices, "store": str(settings.store)}
    LOG.info("listening", extra={"facts": facts | shown})
    print(f"backlit-server listening on {front.address}", flush=True)


async def stopped(front: Front, grace: float) -> None:
    """Not ready, no new calls, the calls in flight to their end, the rest cut off; then the metrics and the traces."""
    front.health.end()
    await front.server.stop(grace)
    if front.exporter:
        await front.exporter.stop()
    await front.traces.stop()


def _stop_requests(settings: Settings) -> asyncio.Event:
    """Set by SIGTERM and SIGINT, and for a private server by the end of standard input. A second signal kills."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()

    def on_signal() -> None:
        stop.set()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    if settings.private:
        threading.Thread(target=_await_end_of_input, args=(loop, stop), daemon=True).start()
    return stop


def _await_end_of_input(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    # os.read and not sys.stdin: its lock would be held while the interpreter shuts down.
    while os.read(0, 4096):
        pass
    with suppress(RuntimeError):  # the loop is closed: the server stopped for another reason
        loop.call_soon_threadsafe(stop.set)
