"""Work on several items of a stream at once, and hand the results out in the items' order."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Any, TypeVar

from google.protobuf.message import Message

from backlit_server.workers.credit import Credit

Item = TypeVar("Item")
Result = TypeVar("Result", bound=Message)


class Results(asyncio.Queue):
    """The results of one item, then None. Its work pauses while as many wait as a caller may leave unread."""

    def _init(self, maxsize: int) -> None:
        super()._init(maxsize)
        self._credit = Credit()

    def _put(self, item: Message | None) -> None:
        super()._put(item)
        self._credit.sent(0 if item is None else item.ByteSize())

    def _get(self) -> Any:  # a result or None
        self._credit.taken()
        return super()._get()

    def full(self) -> bool:
        return not self._credit


async def in_order(
    items: AsyncIterator[Item], work: Callable[[Item], AsyncGenerator[Result, None]], ahead: int
) -> AsyncGenerator[Result, None]:
    """What work(item) yields, item after item, while up to `ahead` later items are already being worked on.

    Closing it, or an error of `items` or `work`, ends all work.
    """
    started: asyncio.Queue[Results | None] = asyncio.Queue(ahead)
    running: set[asyncio.Task[None]] = set()

    async def start() -> None:
        async for item in items:
            results = Results()
            await started.put(results)
            running.add(asyncio.create_task(_drain(work(item), results)))
        await started.put(None)

    running.add(asyncio.create_task(start()))
    try:
        while (results := await _next(started, running)) is not None:
            while (result := await _next(results, running)) is not None:
                yield result
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def _drain(found: AsyncGenerator[Result, None], results: Results) -> None:
    async with aclosing(found):
        async for result in found:
            await results.put(result)
    await results.put(None)


async def _next(queue: asyncio.Queue, running: set[asyncio.Task[None]]):
    """The queue's next entry; the error of a task that failed meanwhile."""
    entry = asyncio.create_task(queue.get())
    try:
        while not entry.done():
            done, _ = await asyncio.wait({entry, *running}, return_when=asyncio.FIRST_COMPLETED)
            for task in done & running:
                running.discard(task)
                task.result()
        return entry.result()
    finally:
        entry.cancel()
