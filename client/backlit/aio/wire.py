"""The shell that does what the flows say, on an event loop."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from grpc import aio

from backlit.endpoint import Endpoint
from backlit.flows import Call, Flow, Pause, T
from backlit.outgoing import Outgoing
from backlit.wire import Deadline, how, procedures
from backlit_proto.errors import BacklitError


class Wire:
    """One channel and how to call on it."""

    def __init__(self, endpoint: Endpoint, channel: aio.Channel) -> None:
        self.endpoint = endpoint
        self._procedures = procedures(channel)

    @property
    def address(self) -> str:
        return self.endpoint.target

    async def run(self, flow: Flow[T], timeout: float | None) -> T:
        """Does what the flow asks for until it returns; `timeout` is for all of it together."""
        deadline = self._deadline(timeout)
        try:
            step = next(flow)
            while True:
                try:
                    answer = await self._perform(step, deadline)
                except BacklitError as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(answer)
        except StopIteration as done:
            return done.value

    async def responses(self, call: Call, timeout: float | None) -> AsyncGenerator[Any]:
        """The answers of a streaming call; closing the generator stops the server's work."""
        outgoing = Outgoing(call.request)
        running = self._procedures[call.rpc](outgoing.awaited(), **how(self.endpoint, self._deadline(timeout)))
        try:
            async for response in running:
                yield response
        except aio.AioRpcError as error:
            raise outgoing.error(error, self.address) from None
        finally:
            running.cancel()
        outgoing.check()

    async def _perform(self, step: Call | Pause, deadline: Deadline) -> Any:  # whatever message the call returns
        if isinstance(step, Pause):
            return await asyncio.sleep(step.seconds)
        outgoing = Outgoing(step.request)
        try:
            return await self._procedures[step.rpc](outgoing.awaited(), **how(self.endpoint, deadline))
        except aio.AioRpcError as error:
            raise outgoing.error(error, self.address) from None

    def _deadline(self, timeout: float | None) -> Deadline:
        return Deadline.after(self.endpoint.timeout if timeout is None else timeout)


def open_channel(endpoint: Endpoint) -> aio.Channel:
    """A channel; it connects when it is first used."""
    credentials = endpoint.credentials()
    if credentials is None:
        return aio.insecure_channel(endpoint.target, endpoint.options())
    return aio.secure_channel(endpoint.target, credentials, endpoint.options())
