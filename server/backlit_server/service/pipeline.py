"""Work on several items of a stream at once, and hand the results out in the items' order."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

Results = asyncio.Queue  # of the results of one item, then None
WAITING_RESULTS = 4  # of one item; then its work pauses, so a caller who does not read costs no memory


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
            results = Results(WAITING_RESULTS)
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
