"""What a worker says of itself: rows of a metric's name, its labels but for the device, and the value."""

import asyncio
import json
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from backlit_server.workers.channel import Frame, Kind

Figure = Sequence[str | float]

STATM = Path("/proc/self/statm")
SECONDS = 1  # that a worker may take: it answers in the thread that listens, unless nothing lets that run


class Looks:
    """Looks at a worker that are under way."""

    def __init__(self) -> None:
        self._answers: dict[int, asyncio.Future[bytes]] = {}

    async def look(self, send: Callable[[Frame], None], number: int) -> list[Figure]:
        """What the worker says; nothing where it does not answer in time."""
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        send(Frame(Kind.LOOK, number))
        try:
            async with asyncio.timeout(SECONDS):
                return json.loads(await answer)
        except TimeoutError:
            return []
        finally:
            del self._answers[number]

    def told(self, frame: Frame) -> None:
        """The answer to one of them has come."""
        answer = self._answers.get(frame.question)
        if answer is not None and not answer.done():
            answer.set_result(frame.body)


def figures(number: int, engine: Iterable[Figure]) -> Frame:
    """The answer of a worker: what it takes, and what its engine holds."""
    return Frame(Kind.FIGURES, number, json.dumps([*_resident(), *engine]).encode())


def _resident() -> list[Figure]:
    """The memory of this process, where the system tells it."""
    if not STATM.exists():
        return []
    return [("backlit_worker_resident_bytes", int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"))]
