"""Around every call: a request id, a line in the log, what is counted of it, and errors as a status."""

import asyncio
import logging
import re
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from typing import Any

import grpc

from backlit_proto.errors import ServerUnavailable
from backlit_server.service import wire_errors
from backlit_server.service.asked import CANCELLED, OK
from backlit_server.service.logs import CALL, Call
from backlit_server.service.metrics import Metrics
from backlit_server.service.tracing import Traces

LOG = logging.getLogger(__name__)
HEALTH = "/grpc.health.v1.Health/"
LEVELS = {"GetMetrics": logging.DEBUG}
"""At which a call is logged, where not as information: who watches a server asks every second."""

Around = Callable[[grpc.aio.ServicerContext], AbstractAsyncContextManager[None]]
KINDS: dict[tuple[bool, bool], tuple[str, Callable[..., grpc.RpcMethodHandler]]] = {
    (False, False): ("unary_unary", grpc.unary_unary_rpc_method_handler),
    (False, True): ("unary_stream", grpc.unary_stream_rpc_method_handler),
    (True, False): ("stream_unary", grpc.stream_unary_rpc_method_handler),
    (True, True): ("stream_stream", grpc.stream_stream_rpc_method_handler),
}
"""By (the request streams, the response streams): the attribute that holds the behaviour, and what makes a handler."""


class Calls(grpc.aio.ServerInterceptor):
    """Every call but those of the health service, which must answer whatever happens and fill no log."""

    def __init__(self, metrics: Metrics, traces: Traces) -> None:
        self._metrics = metrics
        self._traces = traces
        self._started = False

    def begin(self) -> None:
        """Lets calls in; before that they are told to come back."""
        self._started = True

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler | None:
        method = handler_call_details.method
        handler = await continuation(handler_call_details)
        if handler is None or method.startswith(HEALTH):
            return handler
        rpc = method.rpartition("/")[2]
        return wrapped(_weighed(handler, rpc, self._metrics), lambda context: self._around(method, context))

    @asynccontextmanager
    async def _around(self, method: str, context: grpc.aio.ServicerContext) -> AsyncIterator[None]:
        metadata, rpc = dict(context.invocation_metadata() or ()), method.rpartition("/")[2]
        call = Call(_request_id(metadata), rpc, self._traces.call(method, metadata))
        token = CALL.set(call)
        status = ended = OK
        try:
            context.set_trailing_metadata(((wire_errors.REQUEST_KEY, call.request),))
            if not self._started:
                raise ServerUnavailable("the server is starting; try again in a moment")
            with self._metrics.present("backlit_calls_in_flight", rpc):
                yield
        except asyncio.CancelledError:
            status = ended = CANCELLED
            raise
        except Exception as error:
            refusal = wire_errors.known(error, call.request)
            status, ended = refusal.code, refusal.reason()
            call.facts["refusal"] = refusal.message
            await wire_errors.abort(context, refusal, call.request)
        finally:
            # As soon as the caller has been answered: nobody has to wait for a line in a log.
            at = time.monotonic()
            asyncio.get_running_loop().call_soon(self._ended, call, status, ended, at, context.peer())
            CALL.reset(token)

    def _ended(self, call: Call, status: str, ended: str, at: float, peer: str) -> None:
        self._metrics.count("backlit_calls_total", call.rpc, ended)
        self._metrics.observe("backlit_call_seconds", at - call.started, call.rpc)
        call.span.end(at, status, outcome=ended, request=call.request)
        _log(call, status, at - call.started, peer)


def wrapped(handler: grpc.RpcMethodHandler, around: Around) -> grpc.RpcMethodHandler:
    """The same method, each call of it inside `around`; its responses, where they are many, come from a generator."""
    behaviour = getattr(handler, _kind(handler)[0])

    async def unary(request: Any, context: grpc.aio.ServicerContext) -> Any:
        async with around(context):
            return await behaviour(request, context)

    async def stream(request: Any, context: grpc.aio.ServicerContext) -> None:
        # Written here rather than yielded: a cancelled call then closes the generator at once, and so stops the work.
        async with around(context), aclosing(behaviour(request, context)) as responses:
            async for response in responses:
                await _write(context, response)

    return _remade(handler, stream if handler.response_streaming else unary)


async def _write(context: grpc.aio.ServicerContext, response: Any) -> None:
    """A write to a caller who has just left fails in a way of its own, before gRPC cancels the call."""
    try:
        await context.write(response)
    except grpc.aio.InternalError:
        raise asyncio.CancelledError from None


def refusing(handler: grpc.RpcMethodHandler, error: Exception) -> grpc.RpcMethodHandler:
    """The same method, refusing every call."""

    async def unary(request: Any, context: grpc.aio.ServicerContext) -> None:
        raise error

    async def stream(request: Any, context: grpc.aio.ServicerContext) -> AsyncIterator[None]:
        raise error
        yield

    return _remade(handler, stream if handler.response_streaming else unary)


def _kind(handler: grpc.RpcMethodHandler) -> tuple[str, Callable[..., grpc.RpcMethodHandler]]:
    return KINDS[bool(handler.request_streaming), bool(handler.response_streaming)]


def _remade(handler: grpc.RpcMethodHandler, behaviour: Callable[..., Any]) -> grpc.RpcMethodHandler:
    return _kind(handler)[1](behaviour, handler.request_deserializer, handler.response_serializer)


def _weighed(handler: grpc.RpcMethodHandler, rpc: str, metrics: Metrics) -> grpc.RpcMethodHandler:
    """The same method, its messages counted where they are bytes: a message must be serialised to know its size."""
    read, written = handler.request_deserializer or bytes, handler.response_serializer or bytes

    def received(data: bytes) -> Any:
        metrics.count("backlit_received_bytes_total", rpc, amount=len(data))
        return read(data)

    def sent(message: Any) -> bytes:
        data = written(message)
        metrics.count("backlit_sent_bytes_total", rpc, amount=len(data))
        return data

    attribute, make = _kind(handler)
    return make(getattr(handler, attribute), received, sent)


def _request_id(metadata: Mapping[str, Any]) -> str:
    """The caller's own id where it is one that can be logged and sent back, else a new one."""
    given = metadata.get(wire_errors.REQUEST_KEY, "")
    return given if isinstance(given, str) and re.fullmatch(r"[!-~]{1,128}", given) else secrets.token_hex(8)


def _log(call: Call, status: str, seconds: float, peer: str) -> None:
    milliseconds = round(seconds * 1000, 1)
    facts = {"rpc": call.rpc, **call.facts, "status": status, "milliseconds": milliseconds, "peer": peer}
    facts |= {"trace": call.span.trace} if call.span.trace else {}
    LOG.log(LEVELS.get(call.rpc, logging.INFO), "%s %s", call.rpc, status, extra={"facts": facts})
