"""A stored model and its verbs, blocking."""

import io
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, overload

from backlit import flows
from backlit.answers import Explanation, Partial, read_finals, read_partials
from backlit.exports import export_request, kept, saved, weights_name
from backlit.flows import Call
from backlit.many import Conversation, Result
from backlit.measures import Asked
from backlit.models import StoredModel, facts
from backlit.preprocessing import Declared
from backlit.questions import explain_request
from backlit.weights import WeightedLayer, Weights, read_weights
from backlit.wire import Wire
from backlit_proto import backlit_pb2 as pb


@dataclass(frozen=True)
class Model(StoredModel):
    """A model on a server; `timeout` is in seconds everywhere."""

    wire: Wire = field(repr=False, compare=False)

    def explain(
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
        """The heatmaps of one batch, images outer, targets inner.

            model.explain("cat.jpg", target="top5")                 # a picture, prepared by the server
            model.explain(x, "cam", target=[281, "tabby"])          # float arrays, prepared by you
            model.explain([a, b], size="input", normalize=True)     # a batch, finished for display

        `backlit.inputs` tells what `inputs` can be, `backlit.questions` the rest. `parameters` are the method's own;
        `server.methods()` lists them.
        """
        finish = {"size": size, "relu": relu, "normalize": normalize, "dtype": dtype}
        asked = {"target": target, "layer": layer, "profile": profile, "preprocessing": preprocessing}
        asked |= {"scores": scores, "boxes": boxes, "time_limit": time_limit}
        asked |= {"layers": layers, "fuse": fuse, "smoothing": smoothing, "measures": measures}
        asked |= {"precision": precision, "priority": priority}
        question: dict[str, Any] = {**asked, **finish, **parameters}  # each of its own type
        request = explain_request(self, inputs, method, **question)
        return read_finals(self.wire.responses(Call("Explain", request), timeout))

    def stream(
        self,
        inputs: object,
        method: str | Sequence[str] = "grad-cam",
        *,
        timeout: float | None = None,
        **question: Any,  # the options of explain, each of its own type
    ) -> Iterator[Partial]:
        """Each heatmap as soon as it is ready, and partial ones of methods that take long; options as in `explain`.

        Leaving the loop, or closing the iterator, stops the server's work.
        """
        request = explain_request(self, inputs, method, **question)
        return _partials(self.wire.responses(Call("Explain", request), timeout))

    def explain_many(
        self,
        items: Iterable[object],
        method: str | Sequence[str] = "grad-cam",
        *,
        timeout: float | None = None,
        **question: Any,  # the options of explain, each of its own type
    ) -> Iterator[Result]:
        """(id, explanations) an item, in order, over one stream; a bad item gives (id, error) and the stream goes on.

        An item is inputs as in `explain`, a pair (id, inputs), or a dict with "inputs" and whatever differs from the
        options given here: {"id": "a.jpg", "inputs": picture, "target": 281}. Items without an id are numbered.
        """
        talk = Conversation(self, {"method": method, **question})
        requests = (request for item in items if (request := talk.ask(item)))
        return _results(talk, self.wire.responses(Call("ExplainMany", requests), timeout))

    @overload
    def export(
        self,
        *,
        layer: str = "",
        method: str = "grad-cam",
        pictures: bool | Declared = False,
        timeout: float | None = None,
    ) -> bytes: ...

    @overload
    def export(
        self,
        path: str | PathLike[str],
        *,
        layer: str = "",
        method: str = "grad-cam",
        pictures: bool | Declared = False,
        timeout: float | None = None,
    ) -> Path: ...

    def export(
        self,
        path: str | PathLike[str] | None = None,
        *,
        layer: str = "",
        method: str = "grad-cam",
        pictures: bool | Declared = False,
        timeout: float | None = None,
    ) -> bytes | Path:
        """The rewritten model as one ONNX file, written to `path` or returned as bytes; its digest is checked.

        A model of more than 2 GiB needs a path: its largest weights are written beside it, to `<path>.data`. With
        `pictures` it takes uint8 pictures of any size, `pixels` (batch, height, width, 3), and prepares them as is
        declared for the model (True), or as is said here.
        """
        place, buffer = Path(path) if path is not None else None, io.BytesIO()
        name = weights_name(place)
        request = export_request(self.digest, layer, method, pictures, name)
        with saved(place) if place else kept(buffer) as take:
            for part in self.wire.responses(Call("Export", request), timeout):
                take(part)
        return place or buffer.getvalue()

    def weighted_layers(self, *, timeout: float | None = None) -> list[WeightedLayer]:
        """The convolutions and dense layers whose weights can be read, in the order of the graph."""
        return self.wire.run(flows.list_weights(self.digest), timeout)

    def weights(self, layer: str, *, timeout: float | None = None) -> Weights:
        """The weights of a convolution or dense layer, by the name of its node, its output, or their own tensor."""
        request = pb.GetWeightsRequest(model=self.digest, layer=layer)
        return read_weights(self.wire.responses(Call("GetWeights", request), timeout))

    def update(
        self,
        *,
        name: str | None = None,
        preprocessing: Declared | None = None,
        class_names: Iterable[str] = (),
        timeout: float | None = None,
    ) -> "Model":
        """Sets what is given; returns the model as it is now, this one stays as it was."""
        flow = flows.update(self.digest, name, preprocessing, class_names)
        return Model(**facts(self.wire.run(flow, timeout)), wire=self.wire)

    def delete(self, *, timeout: float | None = None) -> None:
        """Removes the model from the server; questions in flight are still answered."""
        self.wire.run(flows.delete(self.digest), timeout)


def _partials(responses: Generator[pb.ExplainResponse]) -> Iterator[Partial]:
    with closing(responses):
        for response in responses:
            yield from read_partials(response)


def _results(talk: Conversation, responses: Generator[pb.ExplainManyResponse]) -> Iterator[Result]:
    with closing(responses):
        for response in responses:
            yield from talk.answer(response)
        yield from talk.rest()
