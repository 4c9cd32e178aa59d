"""grpc.health.v1: whether the server as a whole, and each of its services, can answer now."""

import asyncio

from backlit_proto import backlit_pb2 as pb
from grpc_health.v1 import health
from grpc_health.v1.health_pb2 import HealthCheckResponse

from backlit_server.service.neighbours import Pool

SERVICES = tuple(service.full_name for service in pb.DESCRIPTOR.services_by_name.values())
SECONDS_BETWEEN_LOOKS = 0.2


class Health(health.aio.HealthServicer):  # pyright: ignore[reportAttributeAccessIssue] - is there, but not declared
    """Begins with NOT_SERVING for everything; enter_graceful_shutdown() ends with it."""

    async def say(self, *, ready: bool) -> None:
        """Tells the same about the server as a whole and each of its services."""
        for name in ("", *SERVICES):
            await self.set(name, HealthCheckResponse.SERVING if ready else HealthCheckResponse.NOT_SERVING)

    async def follow(self, pool: Pool) -> None:
        """SERVING while a worker is ready; goes on until it is cancelled."""
        said = None
        while True:
            ready = any(device.ready for device in pool.devices)
            if ready != said:
                await self.say(ready=ready)
                said = ready
            await asyncio.sleep(SECONDS_BETWEEN_LOOKS)
