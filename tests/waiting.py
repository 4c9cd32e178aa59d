"""Waiting for what another task or process does, but not for ever."""

import asyncio
from collections.abc import Callable

WAIT = 10.0  # seconds


async def until(condition: Callable[[], object], seconds: float = WAIT) -> None:
    """Returns when the condition holds; TimeoutError where it does not in time."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)
