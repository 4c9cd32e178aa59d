"""grpc.health.v1: whether the server as a whole, and each of its services, can answer now.

The package's own asyncio servicer would do, but its watchers never leave, so a graceful stop would last its whole
grace, and when one of two watchers leaves, the other hears nothing any more.
"""
# ruff: noqa: N802 - the contract names the methods

import asyncio

import grpc
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from backlit_proto import backlit_pb2 as pb
from backlit_server.service.neighbours import Pool

SERVICES = tuple(service.full_name for service in pb.DESCRIPTOR.services_by_name.values())
SECONDS_BETWEEN_LOOKS = 0.2

Context = grpc.aio.ServicerContext


class Health(health_pb2_grpc.HealthServicer):
    """Begins with NOT_SERVING; all services can answer or none, so there is one state."""

    def __init__(self) -> None:
        self._ready = False
        self._ended = False
        self._change = asyncio.Event()

    async def follow(self, pool: Pool) -> None:
        """SERVING while a worker is ready; goes on until it is cancelled."""
        while True:
            self._say(ready=any(device.ready for device in pool.devices))
            await asyncio.sleep(SECONDS_BETWEEN_LOOKS)

    def end(self) -> None:
        """NOT_SERVING for good; watchers are told so and sent away."""
        self._ended = True
        self._say(ready=False)

    def _say(self, *, ready: bool) -> None:
        if ready != self._ready or self._ended:
            self._ready = ready and not self._ended
            self._change.set()
            self._change = asyncio.Event()

    def _status(self, service: str) -> HealthCheckResponse.ServingStatus:
        if service not in ("", *SERVICES):
            return HealthCheckResponse.SERVICE_UNKNOWN
        return HealthCheckResponse.SERVING if self._ready else HealthCheckResponse.NOT_SERVING

    async def Check(self, request: HealthCheckRequest, context: Context) -> HealthCheckResponse:
        status = self._status(request.service)
        if status == HealthCheckResponse.SERVICE_UNKNOWN:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"there are {', '.join(SERVICES)}, and the whole server: ''")
        return HealthCheckResponse(status=status)

    async def Watch(self, request: HealthCheckRequest, context: Context) -> None:
        said = None
        while True:
            change, status = self._change, self._status(request.service)
            if status != said:
                await context.write(HealthCheckResponse(status=status))
                said = status
            elif self._ended:
                await context.abort(grpc.StatusCode.UNAVAILABLE, "the server is stopping")
            else:
                await change.wait()
