"""A stored model and its verbs for asyncio; the docstrings are in the blocking twin, `backlit.Model`."""

import asyncio
import io
from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, overload

from backlit import flows
from backlit.aio.wire import Wire
from backlit.answers import Explanation, Partial, read_finals, read_partials
from backlit.exports import export_request, kept, saved, weights_name
from backlit.flows import Call
from backlit.many import Conversation, Result
from backlit.measures import Asked
from backlit.models import StoredModel, facts
from backlit.outgoing import steps
from backlit.preprocessing import Declared
from backlit.questions import explain_request
from backlit.weights import WeightedLayer, Weights, read_weights
from backlit_proto import backlit_pb2 as pb


@dataclass(frozen=True)
class Model(StoredModel):
    """A model on a server; `timeout` is in seconds everywhere."""

    wire: Wire = field(repr=False, compare=False)

    async def explain(
        self,
        inputs: object,
        method: str | Sequence[str] = "grad-cam",
        *,
        target: object = None,
        layer: str | None = None,
        size: str | tuple[int, int] | None = None,
        normalize: bool | str | tuple[float, float] | None = None,
        profile: str = "paper",
        relu: bool | None = None,
        dtype: str | None = None,
        preprocessing: Declared | None = None,
        scores: str | None = None,
        boxes: str | None = None,
        layers: Sequence[str] = (),
        fuse: str | None = None,
        smoothing: str | Sequence[str] = (),
        time_limit: float | None = None,
        measures: Iterable[Asked] = (),
        precision: str | None = None,
        priority: str | None = None,
        timeout: float | None = None,
        **parameters: object,
    ) -> list[Explanation]:
        """As `backlit.Model.explain`."""
        finish = {"size": size, "relu": relu, "normalize": normalize, "dtype": dtype}
        asked = {"target": target, "layer": layer, "profile": profile, "preprocessing": preprocessing}
        asked |= {"scores": scores, "boxes": boxes, "time_limit": time_limit}
        asked |= {"layers": layers, "fuse": fuse, "smoothing": smoothing, "measures": measures}
        asked |= {"precision": precision, "priority": priority}
        question: dict[str, Any] = {**asked, **finish, **parameters}  # each of its own type
        request = explain_request(self, inputs, method, **question)
        return read_finals([answer async for answer in self.wire.responses(Call("Explain", request), timeout)])

    def stream(
        self,
        inputs: object,
        method: str | Sequence[str] = "grad-cam",
        *,
        timeout: float | None = None,
        **question: Any,  # the options of explain, each of its own type
    ) -> AsyncGenerator[Partial]:
        """As `backlit.Model.stream`."""
        request = explain_request(self, inputs, method, **question)
        return _partials(self.wire.responses(Call("Explain", request), timeout))

    def explain_many(
        self,
        items: Iterable[object] | AsyncIterable[object],
        method: str | Sequence[str] = "grad-cam",
        *,
        timeout: float | None = None,
        **question: Any,  # the options of explain, each of its own type
    ) -> AsyncGenerator[Result]:
        """As `backlit.Model.explain_many`."""
        talk = Conversation(self, {"method": method, **question})
        requests = (request async for item in steps(items) if (request := talk.ask(item)))
        return _results(talk, self.wire.responses(Call("ExplainMany", requests), timeout))

    @overload
    async def export(
        self,
        *,
        layer: str = "",
        method: str = "grad-cam",
        pictures: bool | Declared = False,
        timeout: float | None = None,
    ) -> bytes: ...

    @overload
    async def export(
        self,
        path: str | PathLike[str],
        *,
        layer: str = "",
        method: str = "grad-cam",
        pictures: bool | Declared = False,
        timeout: float | None = None,
    ) -> Path: ...

    async def export(
        self,
        path: str | PathLike[str] | None = None,
        *,
        layer: str = "",
        method: str = "grad-cam",
        pictures: bool | Declared = False,
        timeout: float | None = None,
    ) -> bytes | Path:
        """As `backlit.Model.export`."""
        place, buffer = Path(path) if path is not None else None, io.BytesIO()
        name = weights_name(place)
        request = export_request(self.digest, layer, method, pictures, name)
        with saved(place) if place else kept(buffer) as take:
            async for part in self.wire.responses(Call("Export", request), timeout):
                await asyncio.to_thread(take, part)
        return place or buffer.getvalue()

    async def weighted_layers(self, *, timeout: float | None = None) -> list[WeightedLayer]:
        """As `backlit.Model.weighted_layers`."""
        return await self.wire.run(flows.list_weights(self.digest), timeout)

    async def weights(self, layer: str, *, timeout: float | None = None) -> Weights:
        """As `backlit.Model.weights`."""
        request = pb.GetWeightsRequest(model=self.digest, layer=layer)
        return read_weights([part async for part in self.wire.responses(Call("GetWeights", request), timeout)])

    async def update(
        self,
        *,
        name: str | None = None,
        preprocessing: Declared | None = None,
        class_names: Iterable[str] = (),
        timeout: float | None = None,
    ) -> "Model":
        """As `backlit.Model.update`."""
        flow = flows.update(self.digest, name, preprocessing, class_names)
        return Model(**facts(await self.wire.run(flow, timeout)), wire=self.wire)

    async def delete(self, *, timeout: float | None = None) -> None:
        """As `backlit.Model.delete`."""
        await self.wire.run(flows.delete(self.digest), timeout)


async def _partials(responses: AsyncGenerator[pb.ExplainResponse]) -> AsyncGenerator[Partial]:
    async with aclosing(responses):
        async for response in responses:
            for partial in read_partials(response):
                yield partial


async def _results(talk: Conversation, responses: AsyncGenerator[pb.ExplainManyResponse]) -> AsyncGenerator[Result]:
    async with aclosing(responses):
        async for response in responses:
            for result in talk.answer(response):
                yield result
        for result in talk.rest():
            yield result
