"""From an output back to where its values were made: past moves, selections and a final activation."""

from dataclasses import dataclass

from onnx import ModelProto

from backlit_server.graph.reading.layers import permutation
from backlit_server.graph.reading.wiring import Wiring, wiring

ACTIVATIONS = frozenset(("LogSoftmax", "Sigmoid", "Softmax"))
# What may stand between the activation and the output: the values pass unchanged.
TRANSPARENT = frozenset((
    "Cast", "Dropout", "Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze",
))  # fmt: skip
KEEPS_AXES = frozenset(("Cast", "Dropout", "Identity"))
# These choose among values by what they are: no gradient of the choice. What they choose from is explained.
SELECTIONS = frozenset(("ArgMax", "ArgMin", "Hardmax", "TopK"))


@dataclass(frozen=True)
class Origin:
    """Where the values of an output were made.

    `activation` was left out on the way ("": none) and made `activated`; `selection` as well ("": none). `order`: which
    axis of the output each axis of the tensor is, None where they are no longer the same.
    """

    name: str
    activation: str
    activated: str
    selection: str
    order: tuple[int, ...] | None

    @property
    def direct(self) -> bool:
        """Whether the output holds the same values, activated, in the same order."""
        return not self.selection and (self.order is None or list(self.order) == sorted(self.order))


def origin(wires: Wiring, output: str) -> Origin:
    """The tensor before the activation behind an output; where there is no activation, before the last selection."""
    order = _identity(wires, output)
    stop = Origin(output, "", output, "", order)
    name, selection = output, ""
    while name in wires.maker:
        node = wires.nodes[wires.maker[name]]
        if node.op_type not in TRANSPARENT | SELECTIONS or node.input[0] in wires.constants:
            break
        name = node.input[0]
        if node.op_type in SELECTIONS:
            selection, order = node.op_type, None
            stop = Origin(name, "", name, selection, order)
        elif node.op_type == "Transpose" and order is not None:
            order = _turned(order, permutation(node, len(order)))
        elif node.op_type not in KEEPS_AXES:
            order = None
    maker = wires.nodes[wires.maker[name]] if name in wires.maker else None
    if maker is None or maker.op_type not in ACTIVATIONS or not wires.float(name):
        return stop
    return Origin(maker.input[0], maker.op_type, name, selection, order)


def activation_of(model: ModelProto, name: str) -> str:
    """The activation that made a tensor's values, "" where there is none."""
    return origin(wiring(model), name).activation


def _turned(order: tuple[int, ...], perm: tuple[int, ...]) -> tuple[int, ...]:
    """The order of what a Transpose takes, given that of what it makes."""
    return tuple(order[perm.index(axis)] for axis in range(len(perm)))


def _identity(wires: Wiring, name: str) -> tuple[int, ...] | None:
    shape = wires.kinds[name].shape if name in wires.kinds else None
    return None if shape is None else tuple(range(len(shape)))
