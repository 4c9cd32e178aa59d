"""Which elements of a tensor can change the scores at all: gradients that are zero by the build of the graph.

Behind the last attention of a vision transformer the class token goes its way alone: everywhere else the gradient is
zero, and a map there is blank.
"""

from collections.abc import Sequence

import numpy as np
from onnx import NodeProto

from backlit_server.graph.gradient_path import scales
from backlit_server.graph.reading.equations import equation
from backlit_server.graph.reading.following import ELEMENTWISE
from backlit_server.graph.reading.replay import REPLAYED, replayed
from backlit_server.graph.reading.sized import Sized
from backlit_server.graph.recording.schema import attributes_of
from backlit_server.graph.spelling.reads import reads

# An element of the result depends on those around it along one axis, or from one axis on.
ALONG = frozenset(("Hardmax", "LogSoftmax", "LpNormalization", "Softmax"))
FROM = frozenset(("LayerNormalization", "RMSNormalization"))


def mattering(sized: Sized, tensor: str, scores: str) -> np.ndarray:
    """True for each element of the tensor that may change a score; where it is False the gradient is zero.

    What an operator does that is not known here is taken to depend on everything.
    """
    below, still = {tensor}, scales(sized.nodes, [scores])
    nodes = []
    for node in sized.nodes:
        if not below.isdisjoint(reads(node)):
            below.update(set(node.output) - still)
            nodes.append(node)
    masks = {scores: np.broadcast_to(True, sized.shapes[scores])}
    for node in reversed(nodes):
        if masks.keys().isdisjoint(node.output):
            continue
        captured = [(name, _everything(sized, name)) for name in reads(node) if name not in node.input]
        for name, mask in (*zip(node.input, _asked(node, sized, masks), strict=True), *captured):
            if name in below:
                masks[name] = mask | masks[name] if name in masks else mask
    return masks.get(tensor, np.broadcast_to(False, sized.shapes[tensor]))


def _asked(node: NodeProto, sized: Sized, masks: dict[str, np.ndarray]) -> list[np.ndarray]:
    """What a node needs of each of its inputs to compute what is needed of its outputs."""
    everything = [_everything(sized, name) for name in node.input]
    if node.domain or any(name and name not in sized.shapes for name in (*node.input, *node.output)):
        return everything
    if node.op_type in REPLAYED:
        return _moved(node, sized, masks) or everything
    mask = masks.get(node.output[0])
    found = equation(node, sized)
    if mask is None or len(masks.keys() & set(node.output)) > 1:
        return everything
    if found is not None:
        summed = [
            _term(mask, term, found.result, sized.shapes[n]) for term, n in zip(found.terms, node.input, strict=False)
        ]
        return [*summed, *everything[len(summed) :]]
    if node.op_type in ELEMENTWISE | ALONG | FROM:
        return [_fitted(_spread(node, sized, mask), sized.shapes.get(name, ())) for name in node.input]
    return everything


def _moved(node: NodeProto, sized: Sized, masks: dict[str, np.ndarray]) -> list[np.ndarray] | None:
    """Of a move, the elements that end up where something is needed."""
    names = list(node.input)[REPLAYED[node.op_type]]
    ends = np.cumsum([0, *(int(np.prod(sized.shapes[name])) for name in names)])
    spans = list(zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True))
    positions = [np.arange(a + 1, b + 1).reshape(sized.shapes[name]) for (a, b), name in zip(spans, names, strict=True)]
    made = replayed(node, sized, positions)
    if made is None:
        return None
    needed = np.zeros(ends[-1] + 1, bool)
    for name, source in zip(node.output, made, strict=True):
        if name in masks:
            needed[source[masks[name]]] = True
    found = {n: needed[a + 1 : b + 1].reshape(sized.shapes[n]) for (a, b), n in zip(spans, names, strict=True)}
    return [found.get(name, _everything(sized, name)) for name in node.input]


def _term(mask: np.ndarray, term: str, result: str, shape: Sequence[int]) -> np.ndarray:
    """Of a sum of products, what is needed of one factor: whatever any needed sum has it in."""
    kept = [letter for letter in result if letter in term]
    mask = _any(mask, tuple(k for k, letter in enumerate(result) if letter not in term))
    sizes = dict(zip(kept, mask.shape, strict=True))
    turned = mask.transpose([kept.index(letter) for letter in term if letter in kept])
    spread = turned.reshape([sizes.get(letter, 1) for letter in term])
    return _fitted(np.broadcast_to(spread, np.broadcast_shapes(spread.shape, tuple(shape))), shape)


def _spread(node: NodeProto, sized: Sized, mask: np.ndarray) -> np.ndarray:
    """What a normalisation looks at for what is needed of it."""
    if node.op_type in ELEMENTWISE:
        return mask
    axis = attributes_of(node, sized.opset)["axis"] % mask.ndim
    axes = tuple(range(axis, mask.ndim)) if node.op_type in FROM else (axis,)
    return np.broadcast_to(mask.any(axes, keepdims=True), mask.shape)


def _fitted(mask: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """The mask of an input that was broadcast."""
    mask = _any(mask, tuple(range(mask.ndim - len(shape))))
    stretched = tuple(k for k, size in enumerate(shape) if size == 1 and mask.shape[k] > 1)
    return np.broadcast_to(_any(mask, stretched).reshape(shape), shape) if stretched else mask


def _everything(sized: Sized, name: str) -> np.ndarray:
    return np.broadcast_to(True, sized.shapes.get(name, ()))


def _any(mask: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    return np.asarray(mask.any(axes))
