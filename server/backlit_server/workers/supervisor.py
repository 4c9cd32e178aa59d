"""Keeps one worker alive: starts it, notices its death, tells its callers, starts the next."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from backlit_proto.errors import BacklitError, ServerUnavailable, WorkerLost
from backlit_server.execution import Execution
from backlit_server.workers.channel import Frame, Kind
from backlit_server.workers.figures import Figure
from backlit_server.workers.process import Hello, WorkerProcess

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 10.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Device:
    """What a worker runs on; until its first worker is ready, `name` is what was asked for.

    `starts`: how many worker processes have become ready, one after the other. `note`: what is amiss with it.
    """

    name: str
    execution: Execution
    provider: str = ""
    ready: bool = False
    versions: Mapping[str, str] = field(default_factory=dict)
    starts: int = 0
    note: str = ""


class Supervisor:
    """One device and its worker, one process after the other.

    `wanted` is the device as the settings name it, and `execution` how it computes; `command` starts a worker but for
    its --fd; `patience` is that of WorkerProcess.
    """

    def __init__(self, wanted: str, execution: Execution, command: Sequence[str], patience: float) -> None:
        self.device = Device(wanted, execution)
        self._wanted = wanted
        self._provider = ""
        self._command = command
        self._patience = patience
        self._waiting = 0
        self._stopping = False
        self._process: WorkerProcess | None = None
        self._tending: asyncio.Task[None] | None = None

    @property
    def load(self) -> int:
        """Questions that wait for the worker or keep it busy."""
        return self._waiting + (self._process.questions if self._process else 0)

    @property
    def standing(self) -> tuple[bool, bool, int]:
        """The least goes first: ready, on the provider it began with, and not busy."""
        return not self.device.ready, self.device.provider != self._provider, self.load

    async def start(self) -> None:
        """Starts the first worker and tends it from then on; raises what keeps it from starting."""
        self._ready: asyncio.Future[WorkerProcess] = asyncio.get_running_loop().create_future()
        process = await self._launch()
        self._tending = asyncio.create_task(self._tend(process))

    async def worker(self) -> WorkerProcess:
        """The worker as soon as it is ready; WorkerLost when the start that is under way fails."""
        self._waiting += 1
        try:
            return await asyncio.shield(self._ready)
        finally:
            self._waiting -= 1

    def tell(self, frame: Frame) -> None:
        """Sends a frame that belongs to no question; a worker that is not ready yet has nothing to be told."""
        if self._process is not None and self.device.ready:
            self._process.send(frame)

    async def figures(self) -> list[Figure]:
        """What there is to say of the worker, and what it says itself while it is ready."""
        own = await self._process.figures() if self._process and self.device.ready else []
        return [("backlit_worker_questions", self.load), *own]

    async def stop(self, grace: float) -> None:
        """Lets the worker answer what it was asked, for `grace` seconds, then ends it."""
        self._stopping = True
        if self._tending is None:
            return  # it never started, and start() has left nothing behind
        self._tending.cancel()
        (outcome,) = await asyncio.gather(self._tending, return_exceptions=True)
        if isinstance(outcome, Exception):
            log.error("nobody tended the worker of device %s any more", self._wanted, exc_info=outcome)
        if self._ready.done():
            await self._dismiss(self._ready.result(), grace)
        self._turn_away(self._loss("stopped"))

    async def _tend(self, process: WorkerProcess) -> None:
        """Replaces the worker whenever it ends."""
        while True:
            await process.ended.wait()
            self._ready = asyncio.get_running_loop().create_future()
            await self._bury(process)
            log.error("the worker of device %s died: %s", self._wanted, process.cause)
            process = await self._relaunch()

    async def _relaunch(self) -> WorkerProcess:
        pause = FIRST_PAUSE
        while True:
            try:
                return await self._launch()
            except Exception as error:  # whatever it is, the next start may do better
                known = isinstance(error, BacklitError)
                log.error("the worker of device %s does not start: %s", self._wanted, error, exc_info=not known)
                self.device = replace(self.device, note=str(error) if known else "it does not start")
                self._turn_away(WorkerLost(f"the worker of device {self._wanted} does not start; ask again later"))
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _launch(self) -> WorkerProcess:
        process = await WorkerProcess.launch(self._command, self._patience)
        try:
            hello = await process.greeting()
            check(hello, self._wanted)
        except BaseException:
            await self._bury(process)
            raise
        self._process = process
        self._provider = self._provider or hello.provider
        found = {"name": hello.device, "provider": hello.provider, "versions": hello.versions, "ready": True}
        self.device = replace(self.device, **found, starts=self.device.starts + 1, note=self._amiss(hello))
        log.info("the worker of device %s is ready on %s", hello.device, hello.provider)
        self._ready.set_result(process)
        return process

    def _amiss(self, hello: Hello) -> str:
        """What became of the device since the first worker started on it."""
        if hello.provider == self._provider:
            return ""
        note = f"it came back on {hello.provider} after {self._provider}: others are asked first"
        log.error("the worker of device %s: %s", self._wanted, note)
        return note

    async def _dismiss(self, process: WorkerProcess, grace: float) -> None:
        process.send(Frame(Kind.STOP))
        try:
            await asyncio.wait_for(process.ended.wait(), grace)
        except TimeoutError:
            log.warning("the worker of device %s was busy for the %s s of grace; it is ended", self._wanted, grace)
        await self._bury(process)

    async def _bury(self, process: WorkerProcess) -> None:
        """Ends a worker, if it has not ended by itself, and tells its callers.

        Done to its end even where the caller is cancelled meanwhile: otherwise threads and sockets stay behind.
        """
        self.device = replace(self.device, ready=False)
        burial = asyncio.create_task(self._burial(process))
        try:
            await asyncio.shield(burial)
        except asyncio.CancelledError:
            await burial
            raise

    async def _burial(self, process: WorkerProcess) -> None:
        await process.kill()
        process.abandon(lambda: self._loss(process.cause))
        await process.release()

    def _loss(self, cause: str) -> BacklitError:
        if self._stopping:
            return ServerUnavailable("the server is stopping; ask again when it is back")
        return WorkerLost(f"the worker of device {self._wanted} died ({cause}) before it had answered; ask again")

    def _turn_away(self, error: BacklitError) -> None:
        """Refuses those who wait for the worker; the next ones wait for the next start."""
        if not self._ready.done():
            self._ready.set_exception(error)
            self._ready.exception()  # nobody may be waiting
        self._ready = asyncio.get_running_loop().create_future()


def check(hello: Hello, wanted: str) -> None:
    """ServerUnavailable when the worker runs on something that the settings forbid."""
    if wanted.startswith("require-cuda") and "CUDA" not in hello.provider:
        raise ServerUnavailable(
            f"CUDA is required, but models would run on {hello.provider}: check the driver and NVIDIA's libraries "
            "(pip install 'backlit[server,gpu]'), or start with --device auto"
        )
