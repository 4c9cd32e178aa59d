"""Positions followed through a model: from the picture, and from what convolutions make of it, to every tensor."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from onnx import NodeProto

from backlit_server.graph.reading.equations import EQUATIONS, equation
from backlit_server.graph.reading.layers import ANCHORS
from backlit_server.graph.reading.places import Places, axes_in_order, compressed, grid_of, joined, merged
from backlit_server.graph.reading.replay import REPLAYED, replayed
from backlit_server.graph.reading.sized import Sized

# An element of the result is computed from the elements at its own position.
ELEMENTWISE = frozenset((
    "Abs", "Acos", "Acosh", "Add", "And", "Asin", "Asinh", "Atan", "Atanh", "BitShift", "BitwiseAnd", "BitwiseNot",
    "BitwiseOr", "BitwiseXor", "Cast", "CastLike", "Ceil", "Celu", "Clip", "Cos", "Cosh", "DequantizeLinear", "Div",
    "Dropout", "Elu", "Equal", "Erf", "Exp", "Floor", "Gelu", "Greater", "GreaterOrEqual", "HardSigmoid", "HardSwish",
    "Identity", "IsInf", "IsNaN", "LeakyRelu", "Less", "LessOrEqual", "Log", "Max", "Mean", "Min", "Mish", "Mod", "Mul",
    "Neg", "Not", "Or", "PRelu", "Pow", "QuantizeLinear", "Reciprocal", "Relu", "Round", "Selu", "Shrink", "Sigmoid",
    "Sign", "Sin", "Sinh", "Softplus", "Softsign", "Sqrt", "Sub", "Sum", "Swish", "Tan", "Tanh", "ThresholdedRelu",
    "Where", "Xor",
))  # fmt: skip
# Those around it count too, and yet it stays the element of that position.
NORMALISED = frozenset((
    "CumSum", "Hardmax", "LayerNormalization", "LogSoftmax", "LpNormalization", "MeanVarianceNormalization",
    "RMSNormalization", "RotaryEmbedding", "Softmax",
))  # fmt: skip
# Another number of rows and columns along the same axes.
RESAMPLED = frozenset(("Pad", "Resize", "Upsample"))

Given = Sequence[Places | None]
Rule = Callable[[NodeProto, Sized, Given], Given]


def follow(sized: Sized, pictures: Mapping[str, str]) -> dict[str, Places]:
    """The places of every tensor that has some. `pictures` are the inputs that are images, with their layout."""
    found = {name: grid_of(axes, sized.shapes[name], sized.images) for name, axes in pictures.items()}
    for node in sized.nodes:
        if node.domain or any(name and name not in sized.shapes for name in (*node.input, *node.output)):
            continue
        rule = RULES.get(node.op_type, _nowhere)
        made = rule(node, sized, [found.get(name) for name in node.input])
        found.update((name, places) for name, places in zip(node.output, made, strict=False) if name)
    return {name: places for name, places in found.items() if places is not None}


def _nowhere(node: NodeProto, sized: Sized, given: Given) -> Given:
    return []


def _beside(node: NodeProto, sized: Sized, given: Given) -> Given:
    """Element by element: the places of the inputs that reach as far as the result."""
    shape = sized.shapes[node.output[0]]
    fitting = [
        (part, sized.shapes[name])
        for name, part in zip(node.input, given, strict=True)
        if part is not None and _broadcasts(sized.shapes[name], shape)
    ]
    return [_agreed(fitting, shape, sized.images)]


def _agreed(parts: Sequence[tuple[Places, tuple[int, ...]]], shape: tuple[int, ...], images: int) -> Places | None:
    """What tensors agree on; maps of one size that were cut from grids of different sizes are one map."""
    places = [part for part, _ in parts]
    found = joined(places, len(shape))
    if found is None and len(parts) > 1:
        orders = {axes_in_order(part, shape) for part, own in parts if own == shape}
        if len(orders) == 1 and "" not in orders:
            return grid_of(orders.pop(), shape, images)
    return found


def _replay(node: NodeProto, sized: Sized, given: Given) -> Given:
    """A move: what it does to elements it does to their places."""
    if all(part is None for part in given):
        return []
    names = list(node.input)[REPLAYED[node.op_type]]
    parts = list(given)[REPLAYED[node.op_type]]
    grids = {part.grid for part in parts if part is not None}
    if len(grids) != 1:
        return []
    positions = [np.zeros((), np.int32) if part is None else part.index for part in parts]
    full = [np.broadcast_to(index, sized.shapes[name]) for index, name in zip(positions, names, strict=True)]
    made = replayed(node, sized, full)
    return [] if made is None else [compressed(next(iter(grids)), index) for index in made]


def _concat(node: NodeProto, sized: Sized, given: Given) -> Given:
    """Side by side along the channels the parts are at the same places; along another axis they are moved."""
    shape = sized.shapes[node.output[0]]
    axis = next(a.i for a in node.attribute if a.name == "axis") % len(shape)
    parts = [(part, sized.shapes[name]) for name, part in zip(node.input, given, strict=True) if part is not None]
    widened = [(part, (*own[:axis], shape[axis], *own[axis + 1 :])) for part, own in parts]
    beside = all(part.index.shape[axis] == 1 for part, _ in parts)
    found = _agreed(widened, shape, sized.images) if beside else None
    return _replay(node, sized, given) if found is None else [found]


def _sum(node: NodeProto, sized: Sized, given: Given) -> Given:
    """A product that sums: the places of the first input whose own the sum leaves apart.

    Of queries times keys these are the places of the queries, of attention times values those of the attention.
    """
    found = equation(node, sized)
    if found is None:
        return []
    for term, part in zip(found.terms, given, strict=False):
        if part is None:
            continue
        kept = merged(part, tuple(k for k, letter in enumerate(term) if letter not in found.result))
        if kept is not None:
            return [Places(kept.grid, _lettered(kept.index, term, found.result))]
    return []


def _lettered(index: np.ndarray, term: str, result: str) -> np.ndarray:
    """The axes of a term in the order of the result, 1 for letters that only others have."""
    present = [letter for letter in result if letter in term]
    gone = tuple(k for k, letter in enumerate(term) if letter not in result)
    turned = index.squeeze(gone).transpose([[x for x in term if x in result].index(letter) for letter in present])
    sizes = dict(zip(present, turned.shape, strict=True))
    return turned.reshape([sizes.get(letter, 1) for letter in result])


def _anchor(node: NodeProto, sized: Sized, given: Given) -> Given:
    """ONNX says which axes of a convolution or pooling are rows and columns: where they were in order, they are anew.

    Inside windows, and where tokens stand in a line, a map of the same size stays where it was.
    """
    shape = sized.shapes[node.output[0]]
    axes = {3: "NCW", 4: "NCHW"}.get(len(shape), "")
    if not axes or not node.input:
        return []
    before = given[0]
    before = None if before is None else merged(before, (1,))
    own = sized.shapes[node.input[0]]
    order = axes if before is None else axes_in_order(before, own)
    if order[:2] == "NC":
        return [grid_of(order, shape, sized.images)]
    return [before if own[2:] == shape[2:] and own[0] == shape[0] else None]


def _resample(node: NodeProto, sized: Sized, given: Given) -> Given:
    """Rows and columns that stay in order; a Pad with nothing around moves only."""
    if node.op_type == "Pad" and not any(a.name == "mode" and a.s != b"constant" for a in node.attribute):
        return [_widened(given[0], part) for part in _replay(node, sized, given)]
    order = "" if given[0] is None else axes_in_order(given[0], sized.shapes[node.input[0]])
    return [grid_of(order, sized.shapes[node.output[0]], sized.images) if order else None]


def _widened(before: Places | None, after: Places | None) -> Places | None:
    """Channels that are added are at the places of those that were there."""
    if before is None or after is None:
        return None
    same = tuple(k for k, length in enumerate(before.index.shape) if length == 1)
    return Places(after.grid, after.index.max(same, keepdims=True))


def _broadcasts(shape: tuple[int, ...], wider: tuple[int, ...]) -> bool:
    pairs = zip(reversed(shape), reversed(wider), strict=False)
    return len(shape) <= len(wider) and all(size in (1, other) for size, other in pairs)


RULES: dict[str, Rule] = {
    **dict.fromkeys(REPLAYED, _replay),
    **dict.fromkeys(ELEMENTWISE | NORMALISED, _beside),
    **dict.fromkeys(EQUATIONS, _sum),
    **dict.fromkeys(ANCHORS - EQUATIONS.keys(), _anchor),
    **dict.fromkeys(RESAMPLED, _resample),
    "Concat": _concat,
}
