"""Constants of bodies become initialisers of the main graph, and no two tensors of a model share a name."""

from onnx import GraphProto

from backlit_server.graph.spelling.aside import constant_of
from backlit_server.graph.spelling.bodies import bodied, names_made, rename
from backlit_server.graph.spelling.reads import subgraphs


def hoist(graph: GraphProto) -> None:
    """In place: weights are then stored once, whatever copies of a body a rule makes, and stand aside like all others.

    A constant that is itself the output of its body stays in it: ONNX Runtime wants outputs made where they leave.
    """
    _lift(graph, graph, set(names_made(graph)))


def _lift(graph: GraphProto, main: GraphProto, taken: set[str]) -> None:
    for node in bodied(graph):
        for body in subgraphs(node):
            _tell_apart(body, taken)
            _lift_constants(body, main)
            _lift(body, main, taken)


def _tell_apart(body: GraphProto, taken: set[str]) -> None:
    new: dict[str, str] = {}
    for name in names_made(body):
        free = name
        while free in taken:
            free += "~"
        taken.add(free)
        if free != name:
            new[name] = free
    if new:
        rename(body, new)


def _lift_constants(body: GraphProto, main: GraphProto) -> None:
    formal = {value.name for value in (*body.input, *body.output)}
    lifted = {k: t for k, node in enumerate(body.node) if (t := constant_of(node)) is not None and t.name not in formal}
    main.initializer.extend(lifted.values())
    main.initializer.extend(t for t in body.initializer if t.name not in formal)
    nodes = [node for k, node in enumerate(body.node) if k not in lifted]
    kept = [t for t in body.initializer if t.name in formal]
    del body.node[:], body.initializer[:]
    body.node.extend(nodes)
    body.initializer.extend(kept)
