"""Frames from a worker, read in the event loop where that cannot hold it up, and in a thread where it could.

A thread that has to wake up for each answer, and then wake the loop, takes longer than to read a small one.
"""

import asyncio
import logging
from collections.abc import Callable

from backlit_proto.errors import BacklitError
from backlit_server.workers.channel import Channel, Frame

log = logging.getLogger(__name__)


class Reader:
    """Hands frames on in their order, and says when there are no more; all of it in the event loop."""

    def __init__(self, channel: Channel, arrived: Callable[[Frame], None], ended: Callable[[], None]) -> None:
        self._channel = channel
        self._arrived = arrived
        self._ended = ended
        self._loop = asyncio.get_running_loop()
        self._waiting: asyncio.Task[None] | None = None
        self._loop.add_reader(channel.fileno(), self._readable)

    async def stop(self) -> None:
        """Returns when nobody uses the channel any more, which was shut down."""
        self._loop.remove_reader(self._channel.fileno())
        if self._waiting is not None:
            await self._waiting

    def _readable(self) -> None:
        if self._channel.gives():
            try:
                self._arrived(self._channel.receive())
            except Exception as error:
                self._end(error)
        else:
            self._loop.remove_reader(self._channel.fileno())
            self._waiting = asyncio.create_task(self._wait())

    async def _wait(self) -> None:
        """One frame that is large, or not here as a whole: its sender may be slow, or mean to hold us up."""
        try:
            self._arrived(await asyncio.to_thread(self._channel.receive))
        except Exception as error:
            self._end(error)
        else:
            self._waiting = None
            self._loop.add_reader(self._channel.fileno(), self._readable)

    def _end(self, error: Exception) -> None:
        """Nothing more is read, whatever it was: the other side is gone, or not to be trusted."""
        self._loop.remove_reader(self._channel.fileno())
        if isinstance(error, EOFError):
            log.debug("a worker closed its channel")
        elif isinstance(error, BacklitError):
            log.error("a worker does not speak frames: %s", error)
        else:
            log.error("what a worker sent cannot be read", exc_info=error)
        self._ended()
