"""The shell that does what the flows say, blocking; the asyncio one is in `backlit.aio`."""

import time
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, Self, cast

import grpc

from backlit.endpoint import Endpoint
from backlit.flows import Call, Flow, Pause, T
from backlit.outgoing import Outgoing
from backlit.refusals import Failure
from backlit.tracing import traceparent
from backlit_proto.backlit_pb2_grpc import ExplanationServiceStub, MetricsServiceStub, ModelServiceStub
from backlit_proto.errors import BacklitError


@dataclass(frozen=True)
class Deadline:
    """A moment on the monotonic clock, or none."""

    moment: float | None

    @classmethod
    def after(cls, seconds: float | None) -> Self:
        return cls(None if seconds is None else time.monotonic() + seconds)

    def left(self) -> float | None:
        """Seconds until then, as gRPC takes them."""
        return None if self.moment is None else max(0.0, self.moment - time.monotonic())


class Wire:
    """One channel and how to call on it."""

    def __init__(self, endpoint: Endpoint, channel: grpc.Channel) -> None:
        self.endpoint = endpoint
        self._procedures = procedures(channel)

    @property
    def address(self) -> str:
        return self.endpoint.target

    def run(self, flow: Flow[T], timeout: float | None) -> T:
        """Does what the flow asks for until it returns; `timeout` is for all of it together."""
        deadline = self._deadline(timeout)
        try:
            step = next(flow)
            while True:
                try:
                    answer = self._perform(step, deadline)
                except BacklitError as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(answer)
        except StopIteration as done:
            return done.value

    def responses(self, call: Call, timeout: float | None) -> Generator[Any]:
        """The answers of a streaming call; leaving the iterator stops the server's work."""
        outgoing = Outgoing(call.request)
        running = self._procedures[call.rpc](outgoing.blocking(), **how(self.endpoint, self._deadline(timeout)))
        try:
            yield from running
        except grpc.RpcError as error:
            raise outgoing.error(cast(Failure, error), self.address) from None  # an RpcError of a call is the call
        finally:
            running.cancel()
        outgoing.check()

    def _deadline(self, timeout: float | None) -> Deadline:
        return Deadline.after(self.endpoint.timeout if timeout is None else timeout)

    def _perform(self, step: Call | Pause, deadline: Deadline) -> Any:  # whatever message the call returns
        if isinstance(step, Pause):
            time.sleep(step.seconds)
            return None
        outgoing = Outgoing(step.request)
        running = self._procedures[step.rpc].future(outgoing.blocking(), **how(self.endpoint, deadline))
        try:
            return running.result()
        except grpc.RpcError as error:
            raise outgoing.error(cast(Failure, error), self.address) from None  # an RpcError of a call is the call
        finally:
            running.cancel()  # for KeyboardInterrupt; changes nothing once the answer is there


def open_channel(endpoint: Endpoint) -> grpc.Channel:
    """A channel; it connects when it is first used."""
    credentials = endpoint.credentials()
    if credentials is None:
        return grpc.insecure_channel(endpoint.target, endpoint.options())
    return grpc.secure_channel(endpoint.target, credentials, endpoint.options())


def procedures(channel: Any) -> dict[str, Any]:  # grpc.Channel or grpc.aio.Channel; the stubs are untyped
    """Every procedure of the contract by its name."""
    stubs = (ModelServiceStub, ExplanationServiceStub, MetricsServiceStub)
    return {name: call for stub in stubs for name, call in vars(stub(channel)).items()}


def how(endpoint: Endpoint, deadline: Deadline) -> dict[str, Any]:  # keyword arguments of grpc's
    """What every call is told beside its request."""
    return {"timeout": deadline.left(), "metadata": (*endpoint.metadata(), *traceparent())}
