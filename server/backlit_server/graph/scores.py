"""The scores of a model: the tensor whose values are explained, before a final softmax or sigmoid."""

from dataclasses import dataclass

from backlit_proto.errors import NotExplainable
from backlit_server.graph.paths import dependent
from backlit_server.graph.wiring import Wiring

ACTIVATIONS = frozenset(("LogSoftmax", "Sigmoid", "Softmax"))
# What may stand between the activation and the output: the values pass unchanged.
TRANSPARENT = frozenset(("Cast", "Dropout", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"))

WHY = {
    "Softmax": "its final Softmax is left out, since a probability also rises when the other classes fall",
    "LogSoftmax": "its final LogSoftmax is left out, since a log-probability also rises when the other classes fall",
    "Sigmoid": "its final Sigmoid is left out, since it flattens the gradient of a confident answer",
}


@dataclass(frozen=True)
class Scores:
    """One value a class: the tensor, the graph output it leads to, and the activation left out ("" for none).

    `binary`: one score behind a sigmoid, which speaks for class 1 and against class 0.
    """

    name: str
    output: str
    activation: str
    binary: bool
    explanation: str


def scores(wires: Wiring) -> Scores:
    """The scores behind the first output that can be explained; NotExplainable where there is none."""
    alive = dependent(wires)
    able = [name for name in wires.outputs if wires.float(name) and name in alive]
    if not able:
        raise NotExplainable(
            f"no output of this model depends on its input through floats (outputs: {', '.join(wires.outputs)}); "
            "there is no score whose reasons could be shown"
        )
    output, name = able[0], able[0]
    while name in wires.maker and _passes(wires, name):
        name = wires.reads[wires.maker[name]][0]
    maker = wires.nodes[wires.maker[name]] if name in wires.maker else None
    if maker is None or maker.op_type not in ACTIVATIONS:
        which = _which(wires, output)
        return Scores(
            output, output, "", False, f"{which}; it ends in no softmax or sigmoid, so it is explained itself"
        )
    name = maker.input[0]
    binary = maker.op_type == "Sigmoid" and _classes(wires, name) == 1
    return Scores(name, output, maker.op_type, binary, f"{_which(wires, output)}; {WHY[maker.op_type]}")


def _which(wires: Wiring, output: str) -> str:
    if len(wires.outputs) == 1:
        return f"the output {output!r}"
    return f"{output!r}, the first of {len(wires.outputs)} outputs that holds floats and depends on the input"


def _passes(wires: Wiring, name: str) -> bool:
    node = wires.nodes[wires.maker[name]]
    return node.op_type in TRANSPARENT and wires.float(node.input[0]) and node.input[0] not in wires.constants


def _classes(wires: Wiring, name: str) -> int | None:
    """How many scores an image has, where the file says it."""
    sizes = (wires.kinds[name].shape or ())[1:]
    known = [size for size in sizes if isinstance(size, int)]
    product = 1
    for size in known:
        product *= size
    return product if len(known) == len(sizes) else None
