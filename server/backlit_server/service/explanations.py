"""ExplanationService: what the model looked at."""
# ruff: noqa: N802 - the contract names the methods

import asyncio
import functools
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

import grpc

from backlit_proto import backlit_pb2 as pb
from backlit_proto import backlit_pb2_grpc as services
from backlit_server.service import listing, questions, wire_errors
from backlit_server.service.asked import asked
from backlit_server.service.logs import CALL, note
from backlit_server.service.metrics import Metrics, method_label
from backlit_server.service.neighbours import Pool
from backlit_server.service.pipeline import in_order
from backlit_server.service.terms import terms
from backlit_server.store import Store
from backlit_server.workers.terms import Priority, Terms

AHEAD = 4  # items of one stream that are worked on while an earlier one is answered

Context = grpc.aio.ServicerContext


class ExplanationService(services.ExplanationServiceServicer):
    """Passes questions on to the workers, and their answers back."""

    def __init__(self, store: Store, pool: Pool, metrics: Metrics) -> None:
        self._store = store
        self._pool = pool
        self._metrics = metrics

    async def Explain(self, request: pb.ExplainRequest, context: Context) -> AsyncIterator[pb.ExplainResponse]:
        on = terms(context, request.question, Priority.INTERACTIVE)
        async with aclosing(self._answers(request, on)) as answers:
            async for answer in answers:
                yield answer

    async def ExplainMany(
        self, request_iterator: AsyncIterator[pb.ExplainManyRequest], context: Context
    ) -> AsyncIterator[pb.ExplainManyResponse]:
        counts = Counter[str]()
        item = functools.partial(self._item, context)
        async with aclosing(in_order(request_iterator, item, AHEAD)) as responses:
            async for response in responses:
                if response.HasField("status"):
                    counts["refused" if response.status.code else "answered"] += 1
                    note(**{outcome: str(count) for outcome, count in counts.items()})
                yield response

    async def _item(
        self, context: Context, asked: pb.ExplainManyRequest
    ) -> AsyncGenerator[pb.ExplainManyResponse, None]:
        """The answers to one item and its status: what is wrong with one item is no matter for the others."""
        status = pb.Status()
        try:
            on = terms(context, asked.request.question, Priority.AUDIT)
            async with aclosing(self._answers(asked.request, on)) as answers:
                async for answer in answers:
                    yield pb.ExplainManyResponse(item=asked.item, response=answer)
        except Exception as error:
            call = CALL.get()
            status = wire_errors.status_of(wire_errors.known(error, call.request if call else ""))
        yield pb.ExplainManyResponse(item=asked.item, status=status)

    async def ListMethods(self, request: pb.ListMethodsRequest, context: Context) -> pb.ListMethodsResponse:
        support = await asyncio.to_thread(self._support, request.model) if request.model else {}
        return pb.ListMethodsResponse(
            methods=listing.methods(support),
            measures=listing.measures(),
            presets=listing.presets(),
            profiles=listing.profiles(),
        )

    async def ListDevices(self, request: pb.ListDevicesRequest, context: Context) -> pb.ListDevicesResponse:
        return pb.ListDevicesResponse(devices=listing.devices(self._pool.devices))

    def _support(self, reference: str) -> dict[str, pb.MethodSupport]:
        model = self._store.known(self._store.resolve(reference))
        note(model=model.digest)
        return {row.method: row for row in model.card.methods}

    async def _answers(self, request: pb.ExplainRequest, on: Terms) -> AsyncGenerator[pb.ExplainResponse, None]:
        """The answers to one question; closing this stops the work."""
        with asked(self._metrics) as counted:
            # A look at two small files, kept in memory while they do not change: quicker than a thread's turn.
            known = questions.resolve(request, self._store)
            counted.model = self._metrics.model(self._store.name_of(known.digest), known.digest)
            counted.method = method_label(known.method)
            note(model=known.digest, method=known.method)
            async with aclosing(self._pool.explain(request, on, counted.hear)) as answers:
                async for answer in answers:
                    yield questions.completed(answer, known.model)
