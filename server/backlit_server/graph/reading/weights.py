"""The weights of convolutions and dense layers: which operators have them, and what their axes count."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from onnx import ModelProto, NodeProto, helper

from backlit_proto.errors import BadQuestion
from backlit_server.graph.reading.layers import sizes
from backlit_server.graph.reading.wiring import Wiring, wiring

SPACE = ("", "W", "HW", "DHW")  # by how many axes there are behind the first two
MATRICES = {True: "OI", False: "IO"}  # by whether outputs come first


@dataclass(frozen=True)
class Weights:
    """Those of one node. `name` is their tensor; `axes` says what each axis of it counts: O outputs, I inputs (those of
    one group, where a convolution has groups), D depth, H height, W width; B where there is one matrix each.
    """

    name: str
    node: NodeProto
    dtype: int
    shape: tuple[int, ...]
    axes: str


def weights(model: ModelProto) -> tuple[Weights, ...]:
    """Those of a canonical model, in the order of its graph: what does not depend on the input and is multiplied."""
    wires = wiring(model)
    found = (weights_of(wires, node) for node in wires.nodes)
    return tuple(one for one in found if one)


def weights_at(model: ModelProto, layer: str) -> Weights:
    """Those of a layer, named by its node, its output or the weights' own tensor; BadQuestion lists the names."""
    found = weights(model)
    for one in found:
        if layer in (one.name, one.node.name, *one.node.output):
            return one
    raise BadQuestion(f"no convolution or dense layer is called {layer!r}; {_nearest(found, layer)}")


def _nearest(found: Sequence[Weights], layer: str) -> str:
    names = [name for one in found for name in (one.node.name, one.name) if name]
    close = get_close_matches(layer, names, n=5, cutoff=0.3) or names[:5]
    return f"the nearest are {', '.join(map(repr, close))}" if close else "this model has none"


def weights_of(wires: Wiring, node: NodeProto) -> Weights | None:
    """Those of a node, None where it has none."""
    fixed = [k for k, name in enumerate(node.input[:2]) if name in wires.constants]
    if node.op_type not in AXES or len(fixed) != 1:
        return None
    name, place = node.input[fixed[0]], fixed[0]
    shape = sizes(wires, name)
    if not wires.float(name) or len(shape) < 2 or min(shape) < 1:
        return None
    return Weights(name, node, wires.kinds[name].dtype or 0, shape, AXES[node.op_type](node, place, len(shape)))


def _gemm(node: NodeProto, place: int, rank: int) -> str:
    turned = {a.name: bool(helper.get_attribute_value(a)) for a in node.attribute if a.name.startswith("trans")}
    return MATRICES[turned.get("transB", False) if place else not turned.get("transA", False)]


AXES: dict[str, Callable[[NodeProto, int, int], str]] = {
    "Conv": lambda node, place, rank: "OI" + SPACE[rank - 2],
    "ConvTranspose": lambda node, place, rank: "IO" + SPACE[rank - 2],
    "DeformConv": lambda node, place, rank: "OI" + SPACE[rank - 2],
    "Gemm": _gemm,
    "MatMul": lambda node, place, rank: "B" * (rank - 2) + MATRICES[not place],
}
