"""The way from tensors to outputs: which nodes a gradient passes, and which of them it cannot pass."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from onnx import GraphProto, NodeProto

from backlit_proto.errors import NotDifferentiable
from backlit_server.graph.recording.kinds import Kind
from backlit_server.graph.recording.sym import FLOATS
from backlit_server.graph.rules.quantised import RANGES
from backlit_server.graph.spelling.reads import reads
from backlit_server.graph.stops import FLAT, REFUSED, UNKNOWN
from backlit_server.graph.vjp import ROUNDED, VJPS


@dataclass(frozen=True)
class Path:
    """The nodes between, in order, and the tensors on which a gradient lies."""

    nodes: tuple[NodeProto, ...]
    tensors: frozenset[str]


@dataclass(frozen=True)
class Blocker:
    """A node that a gradient cannot pass, and why not."""

    op: str
    node: str
    reason: str
    within: str = ""  # the node in whose body it lies

    def inside(self, node: str) -> "Blocker":
        """The same, as seen from around the node that holds it."""
        return Blocker(self.op, self.full_name, self.reason, node)

    @property
    def full_name(self) -> str:
        return f"{self.within}/{self.node}" if self.within else self.node


def path_between(
    order: Sequence[NodeProto],
    kinds: Mapping[str, Kind],
    outputs: Collection[str],
    wrt: Collection[str],
    rules: Collection[str] = VJPS,
) -> Path:
    """Forward: what depends on `wrt`, through floats; backward: what of it the outputs depend on.

    A flat operator ends the path, unless there is a rule for it; so does a scale that tensors are rounded by.
    """
    moving, flat, still = set(wrt), FLAT.difference(rules), scales(order, outputs)
    for node in order:
        if label(node) not in flat and not moving.isdisjoint(reads(node)):
            made = (name for name in node.output if name and name not in still)
            moving.update(name for name in made if _carries(node, name, kinds, moving))
    needed, nodes = set(outputs), []
    for node in reversed(order):
        if not needed.isdisjoint(node.output) and not moving.isdisjoint(reads(node)):
            if moving.isdisjoint(needed.intersection(node.output)):
                continue
            nodes.append(node)
            needed.update(moving.intersection(reads(node)))
    return Path(tuple(reversed(nodes)), frozenset(moving & needed))


def scales(order: Sequence[NodeProto], outputs: Collection[str]) -> frozenset[str]:
    """The scales and zero points that tensors are rounded by, unless they themselves are what is asked for.

    They say how finely numbers are written, not which: as if nothing were rounded, the outputs do not depend on them.
    """
    found = frozenset(name for node in order if label(node) in ROUNDED for name in node.input[1:] if name)
    alone, rounded = set(found), set[str]()
    for node in order:
        if label(node) in ROUNDED or not rounded.isdisjoint(reads(node)):
            rounded.update(node.output)
        elif not alone.isdisjoint(reads(node)):
            alone.update(node.output)
    return found if alone.isdisjoint(outputs) else frozenset()


def blockers(path: Path, rules: Mapping[str, Any]) -> tuple[Blocker, ...]:
    """The nodes of a path for which there is no rule, and the reason."""
    lost = [node for node in path.nodes if label(node) not in rules]
    return tuple(Blocker(label(node), name_of(node), REFUSED.get(label(node), UNKNOWN)) for node in lost)


def depends(graph: GraphProto, outputs: Collection[str], x: str) -> bool:
    """Whether any output depends on x in any way, also one without a gradient."""
    touched = {x}
    for node in graph.node:
        if not touched.isdisjoint(reads(node)):
            touched.update(node.output)
    return not touched.isdisjoint(outputs)


def refusal(
    graph: GraphProto, outputs: Sequence[str], wrt: Sequence[str], found: Sequence[Blocker]
) -> NotDifferentiable:
    """One error that names every blocking operator, its nodes, and the way on which the first of them lies."""
    by_kind: dict[tuple[str, str], list[str]] = {}
    for blocker in found:
        by_kind.setdefault((blocker.op, blocker.reason), []).append(blocker.full_name)
    listed = "; ".join(f"{op} ({', '.join(nodes)}): {reason}" for (op, reason), nodes in by_kind.items())
    way = " -> ".join(_shortened(_way(graph, wrt, found[0].within or found[0].node, outputs)))
    return NotDifferentiable(
        f"no gradient of {_names(outputs)} with respect to {_names(wrt)}: {listed}. "
        f"The way: {way}. Ask for a layer behind these nodes, or for a method that needs no gradient.",
        ops=", ".join(sorted({blocker.op for blocker in found})),
        nodes=", ".join(blocker.full_name for blocker in found),
    )


def label(node: NodeProto) -> str:
    """The name under which the table knows an operator."""
    return node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}.{node.op_type}"


def name_of(node: NodeProto) -> str:
    return node.name or next(name for name in node.output if name)


def _carries(node: NodeProto, name: str, kinds: Mapping[str, Kind], moving: Collection[str]) -> bool:
    """Whether a gradient can lie on an output: floats, and integers that stand for floats; if unknown, it can."""
    dtype = kinds[name].dtype if name in kinds else None
    if dtype is None or dtype in FLOATS:
        return True
    same = any(x in moving and x in kinds and kinds[x].dtype == dtype for x in node.input)
    return dtype in RANGES and (label(node) in ROUNDED or same)


def _way(graph: GraphProto, wrt: Collection[str], blocker: str, outputs: Collection[str]) -> list[str]:
    """Nodes from a tensor of `wrt` through the blocking node to an output."""
    start, end = next(iter(wrt)), next(iter(outputs))
    before = _chain(graph.node, set(wrt), lambda node: name_of(node) == blocker, reads, lambda n: n.output)
    after = _chain(
        list(reversed(graph.node)), set(outputs), lambda node: name_of(node) == blocker, lambda n: n.output, reads
    )
    return [start, *before, *after[-2::-1], end]


def _chain(
    nodes: Sequence[NodeProto],
    known: set[str],
    wanted: Callable[[NodeProto], bool],
    enters: Callable[[NodeProto], Any],
    leaves: Callable[[NodeProto], Any],
) -> list[str]:
    """Names of nodes that lead from known tensors to the wanted node."""
    came: dict[str, list[str]] = {name: [] for name in known}
    for node in nodes:
        entered = next((came[name] for name in enters(node) if name in came), None)
        if entered is None:
            continue
        chain = [*entered, name_of(node)]
        if wanted(node):
            return chain
        for name in leaves(node):
            came.setdefault(name, chain)
    return []


def _shortened(way: list[str]) -> list[str]:
    way = [name for name, before in zip(way, [None, *way], strict=False) if name != before]
    return way if len(way) <= 9 else [*way[:4], "...", *way[-4:]]


def _names(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names)
