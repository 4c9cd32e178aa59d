"""The blocks of a transformer: what each attends to, and the tokens behind it, found by their shape and position."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from onnx import ModelProto

from backlit_proto.errors import NotForThisModel
from backlit_server.graph.reading.paths import crossed_by_all, on_paths
from backlit_server.graph.reading.view import View
from backlit_server.graph.reading.wiring import Wiring, wiring

TOKENS = "NTC"  # the axes of a tensor of tokens


@dataclass(frozen=True)
class Block:
    """`attention`: a softmax over all tokens, for each of them; `stream`: the tokens behind the block."""

    attention: str
    stream: str


@dataclass(frozen=True)
class Transformer:
    """Its blocks in order, the tokens that the first one reads, and how many there are, with those at no place."""

    first: str
    blocks: tuple[Block, ...]
    count: int


def transformer(model: ModelProto, scores: str, views: Mapping[str, View]) -> Transformer:
    """The transformer before the scores of a canonical model; NotExplainable where there is none."""
    wires = wiring(model)
    path = on_paths(wires, scores)
    streams = _streams(wires, path, views)
    counts = {name: len(views[name].tokens) + views[name].others for name in streams}

    def before(attention: str) -> str:
        return max((s for s in streams if streams[s] < wires.maker[attention]), key=streams.__getitem__, default="")

    attentions = [name for name, size in _squares(wires, path) if size == counts.get(before(name))]
    if not attentions or len({counts[before(name)] for name in attentions}) > 1:
        raise NotForThisModel(_why_not(wires, path, bool(streams)))
    ends = [*map(before, attentions[1:]), _last_sum(wires, path, streams, attentions[-1])]
    blocks = tuple(Block(*pair) for pair in zip(attentions, ends, strict=True))
    return Transformer(before(attentions[0]), blocks, counts[before(attentions[0])])


def _streams(wires: Wiring, path: frozenset[str], views: Mapping[str, View]) -> dict[str, int]:
    """The tensors of tokens that all ways to the scores cross, and which node makes each."""
    crossed = (name for name in crossed_by_all(wires, path) if name in views and views[name].axes == TOKENS)
    return {name: wires.maker.get(name, -1) for name in crossed}


def _squares(wires: Wiring, path: frozenset[str]) -> Iterator[tuple[str, int | str]]:
    """The softmaxes of as many rows as columns, and how many."""
    for node in wires.nodes:
        name = node.output[0]
        if node.op_type == "Softmax" and name in path and name in wires.kinds:
            *others, rows, columns = wires.kinds[name].shape or (0, 1)
            if others and rows == columns:
                yield name, columns


def _last_sum(wires: Wiring, path: frozenset[str], streams: Mapping[str, int], attention: str) -> str:
    """The last of the tensors behind that is a sum of two that depend on the image: the end of a residual branch."""
    for name in sorted(
        (s for s in streams if streams[s] > wires.maker[attention]), key=streams.__getitem__, reverse=True
    ):
        node = wires.nodes[streams[name]]
        if node.op_type == "Add" and path.issuperset(node.input):
            return name
    raise NotForThisModel("the attention of this model is not followed by a sum of residual branches")


def _why_not(wires: Wiring, path: frozenset[str], tokens: bool) -> str:
    softmaxes = [node.output[0] for node in wires.nodes if node.op_type == "Softmax" and node.output[0] in path]
    if not softmaxes:
        return "this model has no attention: no softmax stands between its input and its scores"
    if not tokens:
        return "its attention is not among tokens that all ways to the scores cross: it is part of a mixed network"
    return "its attention is not among all tokens, always as many, but within windows, among channels or ever fewer"
