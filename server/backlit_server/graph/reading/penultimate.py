"""The penultimate layer: what the last convolution or dense layer makes the scores of."""

from backlit_server.graph.reading.paths import crossed_by_all
from backlit_server.graph.reading.weights import weights_of
from backlit_server.graph.reading.wiring import Wiring


def penultimate(wires: Wiring, path: frozenset[str]) -> str:
    """The tensor that the last layer with weights reads; "" where there is none, or where other ways lead past it."""
    for node in reversed(wires.nodes):
        if not path.isdisjoint(node.output) and weights_of(wires, node):
            read = next(name for name in node.input[:2] if name not in wires.constants)
            return read if read in crossed_by_all(wires, path) else ""
    return ""
