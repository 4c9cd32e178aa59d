"""All workers of a server, one a device: each question goes to the one that is least busy."""

import asyncio
import json
import os
import sys
import time
from collections import Counter
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import asdict, replace

from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import ServerUnavailable
from backlit_server.execution import Execution
from backlit_server.keeping import Keeping
from backlit_server.settings import Settings
from backlit_server.story import Hear
from backlit_server.workers.channel import Frame, Kind
from backlit_server.workers.figures import Figure
from backlit_server.workers.places import Places
from backlit_server.workers.supervisor import Device, Supervisor
from backlit_server.workers.terms import ANYBODY, Terms
from backlit_server.workers.worker import ENGINE

__all__ = ["Device", "Pool"]


class Pool:
    """The workers; `devices` names one a worker and is what the settings name where it is not given.

    Use it in one event loop, in a thread that lives as long as the server: Linux ends workers with that thread.
    """

    def __init__(self, settings: Settings, devices: Sequence[str] | None = None, engine: str = ENGINE) -> None:
        self._places = Places(settings.max_questions)
        self._stopping = False
        wanted = devices or settings.device.split(",")
        threads = settings.threads or max(1, usable_cores() // len(wanted))
        execution, patience = Execution.of(settings), settings.yield_seconds
        commands = {device: command(settings, device, threads, engine) for device in wanted}
        self._supervisors = [Supervisor(device, execution, commands[device], patience) for device in wanted]

    @property
    def devices(self) -> tuple[Device, ...]:
        """What the workers run on, and whether they are ready; of several on one device the later ones are numbered."""
        return tuple(_numbered(supervisor.device for supervisor in self._supervisors))

    async def start(self) -> None:
        """Returns when every worker is ready; otherwise raises what keeps one from it, and none is left running."""
        try:
            async with asyncio.TaskGroup() as group:
                for supervisor in self._supervisors:
                    group.create_task(supervisor.start())
        except ExceptionGroup as failures:
            await self.stop(0)
            raise failures.exceptions[0] from None
        except asyncio.CancelledError:
            await self.stop(0)
            raise

    async def stop(self, grace: float) -> None:
        """Refuses new questions and lets those in flight end, for `grace` seconds; then ends the workers."""
        self._stopping = True
        await asyncio.gather(*(supervisor.stop(grace) for supervisor in self._supervisors))

    async def explain(
        self, request: pb.ExplainRequest, terms: Terms = ANYBODY, hear: Hear = lambda story: None
    ) -> AsyncGenerator[pb.ExplainResponse, None]:
        """The answers as they come; closing the generator stops the work. Takes the tensors' bytes out of the request.

        `hear` is told what the time went into, when the question ends; of one that its worker refused, until then.

        Raises what the engine raised; WorkerLost when the worker died, Overloaded when too much is being asked.
        """
        if self._stopping:
            raise ServerUnavailable("the server is stopping; ask again when it is back")
        self._places.take(terms.caller)
        started = time.monotonic()
        try:
            worker = await min(self._supervisors, key=lambda supervisor: supervisor.standing).worker()
            async with aclosing(worker.explain(request, terms, hear)) as answers:
                async for answer in answers:
                    yield answer
        finally:
            self._places.give_back(terms.caller, time.monotonic() - started)

    async def figures(self) -> list[tuple[str, list[Figure]]]:
        """By device, what each worker says of itself; one that is not ready says nothing."""
        told = await asyncio.gather(*(supervisor.figures() for supervisor in self._supervisors))
        return [(supervisor.device.name, rows) for supervisor, rows in zip(self._supervisors, told, strict=True)]

    def forget(self, digest: str) -> None:
        """Tells every worker that a model was deleted."""
        for supervisor in self._supervisors:
            supervisor.tell(Frame(Kind.FORGET, body=digest.encode()))


def _numbered(devices: Iterable[Device]) -> Iterator[Device]:
    seen = Counter[str]()
    for device in devices:
        seen[device.name] += 1
        count = seen[device.name]
        yield replace(device, name=f"{device.name} ({count})") if count > 1 else device


def command(settings: Settings, device: str, threads: int, engine: str) -> list[str]:
    """Starts a worker, but for its --fd; -P keeps modules in the current folder from being taken for ours."""
    workers = len(settings.device.split(","))
    options = {
        "--store": settings.store,
        "--device": device,
        "--threads": threads,
        "--batch": settings.max_batch,
        "--delay": settings.batch_delay_ms / 1000,
        "--execution": json.dumps(asdict(Execution.of(settings).shared_by(workers))),
        "--keeping": json.dumps(asdict(Keeping.of(settings).shared_by(workers))),
        "--engine": engine,
    }
    said = [str(word) for option in options.items() for word in option]
    return [sys.executable, "-P", "-m", "backlit_server.workers.worker", *said]


def usable_cores() -> int:
    """The cores this process may use, which in a container are fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
