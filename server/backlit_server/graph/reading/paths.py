"""The paths on which values, and not only shapes, flow from the inputs to the scores."""

from collections.abc import Iterable

from backlit_server.graph.reading.wiring import Wiring
from backlit_server.graph.vjp import ROUNDED

SHAPE_READERS = frozenset(("Shape", "Size"))  # what these return does not depend on the values they are given


def dependent(wires: Wiring, inputs: Iterable[str] = ()) -> frozenset[str]:
    """The tensors whose values depend on the values of these inputs, or of any; shapes alone do not count."""
    found = set(inputs or wires.inputs)
    for node, names in zip(wires.nodes, wires.reads, strict=True):
        if node.op_type not in SHAPE_READERS and not found.isdisjoint(names):
            found.update(name for name in node.output if name)
    return frozenset(found)


def on_paths(wires: Wiring, scores: str) -> frozenset[str]:
    """The tensors on float paths from an input to the scores.

    Integers end a path, but for those that QuantizeLinear made, which stand for floats, also while
    they are moved about.
    """
    alive = dependent(wires)
    found = {scores} & alive
    for k in reversed(range(len(wires.nodes))):
        if not found.isdisjoint(wires.nodes[k].output):
            found.update(name for name in wires.reads[k] if name in alive and _carries(wires, name))
    return frozenset(found)


def crossed_by_all(wires: Wiring, path: frozenset[str]) -> frozenset[str]:
    """The tensors of the path that every way from its inputs to the scores crosses.

    One sweep in the order of the nodes: where the only tensor still to be read is the one just
    made, no way leads past it.
    """
    last = {name: max((k for k in wires.readers.get(name, ()) if _makes(wires, k, path)), default=-1) for name in path}
    waiting = {name for name in wires.inputs if name in path}
    found = set(waiting) if len(waiting) == 1 else set()
    for k, node in enumerate(wires.nodes):
        made = {name for name in node.output if name in path}
        waiting = {name for name in waiting if last[name] > k} | made
        if made and len(waiting) == 1:
            found |= made
    return frozenset(found)


def _makes(wires: Wiring, k: int, path: frozenset[str]) -> bool:
    return not path.isdisjoint(wires.nodes[k].output)


def _carries(wires: Wiring, name: str) -> bool:
    return wires.float(name) or name in wires.inputs or _stands_for_floats(wires, name)


def _stands_for_floats(wires: Wiring, name: str) -> bool:
    """Whether a tensor of integers was made by rounding floats, or of such a tensor by moving it about."""
    while name in wires.maker and name in wires.kinds:
        node, dtype = wires.nodes[wires.maker[name]], wires.kinds[name].dtype
        if node.op_type in ROUNDED:
            return True
        name = next((x for x in node.input if x in wires.kinds and wires.kinds[x].dtype == dtype), "")
    return False
