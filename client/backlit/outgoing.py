"""What a call sends: one message, or many from a source that may fail."""

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from google.protobuf.message import Message

from backlit.refusals import Failure, from_call

T = TypeVar("T")


@dataclass
class Outgoing:
    """gRPC tells a failing source of messages to nobody but its log, so the failure is kept here for the caller."""

    source: Message | Iterable[Message] | AsyncIterable[Message]
    failure: Exception | None = None

    def blocking(self) -> Message | Iterator[Message]:
        """As grpc takes it."""
        return self.source if isinstance(self.source, Message) else self._each(self.source)

    def awaited(self) -> Message | AsyncIterator[Message]:
        """As grpc.aio takes it."""
        return self.source if isinstance(self.source, Message) else self._each_awaited(self.source)

    def error(self, refused: Failure, address: str) -> Exception:
        """What really went wrong: the caller's own source, or the call."""
        return self.failure or from_call(refused, address)

    def check(self) -> None:
        """Raises the failure of a source whose call went well with what it had got."""
        if self.failure:
            raise self.failure

    def _each(self, source: Iterable[Message] | AsyncIterable[Message]) -> Iterator[Message]:
        assert isinstance(source, Iterable)  # asyncio's sources go to asyncio's shell
        try:
            yield from source
        except Exception as failure:
            self.failure = failure

    async def _each_awaited(self, source: Iterable[Message] | AsyncIterable[Message]) -> AsyncIterator[Message]:
        try:
            async for message in steps(source):
                yield message
        except Exception as failure:
            self.failure = failure


async def steps(source: Iterable[T] | AsyncIterable[T]) -> AsyncIterator[T]:
    """Any iterable, as asyncio walks it."""
    if isinstance(source, AsyncIterable):
        async for item in source:
            yield item
    else:
        for item in source:
            yield item
