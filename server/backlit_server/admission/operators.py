"""How a gradient passes each operator of a file."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from onnx import ModelProto, NodeProto

from backlit_server.graph.gradient_path import label
from backlit_server.graph.lowering.table import FUSED, QUANTISED
from backlit_server.graph.opening import is_defined
from backlit_server.graph.rules.definition import Definition
from backlit_server.graph.spelling.reads import subgraphs
from backlit_server.graph.stops import FLAT, REFUSED, UNKNOWN
from backlit_server.graph.vjp import REPLAYED, ROUNDED, VJPS

EXACT, UNSUPPORTED, LOWERED, INLINED = "exact", "unsupported", "lowered", "inlined"
# The first row that holds an operator tells.
PASSAGES: Mapping[str, Collection[str]] = {
    "straight-through": ROUNDED | QUANTISED.keys(),
    "replay": REPLAYED,
    LOWERED: FUSED.keys() | {op for op, rule in VJPS.items() if isinstance(rule, Definition)},
    EXACT: VJPS.keys(),
    "flat": FLAT,
}
MEANINGS = {
    EXACT: "the derivative, by a rule of its own",
    "replay": "the derivative: the operator is run again to see where its values come from",
    LOWERED: "the derivative: the operator is written with others",
    "straight-through": "rounded: the gradient is that of the numbers which the integers stand for",
    "flat": "the derivative is zero wherever there is one: no gradient passes",
    INLINED: "a function of the file itself, written out",
    UNSUPPORTED: "no gradient passes; where it lies between layer and scores, methods that need one are refused",
}


def operators(file: ModelProto, blocking: Collection[str]) -> list[dict[str, Any]]:
    """Each operator of the file once, with its count. `blocking` are those that stand between features and scores."""
    own = {label_of(f.domain, f.name) for f in file.functions}
    nodes = [*_nodes(file.graph.node), *(node for f in file.functions for node in _nodes(f.node))]
    opset = max((o.version for o in file.opset_import if o.domain in ("", "ai.onnx")), default=1)
    found = Counter(str(label(node)) for node in nodes)  # damaged names are bytes
    return [_row(op, count, passage(op, own, opset), op in blocking) for op, count in sorted(found.items())]


def _row(op: str, count: int, how: str, blocks: bool) -> dict[str, Any]:
    reason = REFUSED.get(op, UNKNOWN) if how == UNSUPPORTED else ""
    return {"operator": op, "count": count, "gradient": how, "reason": reason, "blocks": blocks}


def passage(op: str, functions: Collection[str], opset: int) -> str:
    """How a gradient passes an operator, one of MEANINGS."""
    if op in functions:
        return INLINED
    known = next((how for how, row in PASSAGES.items() if op in row), None)
    return known or (LOWERED if op not in REFUSED and is_defined(op, opset) else UNSUPPORTED)


def label_of(domain: str, name: str) -> str:
    return f"{domain}.{name}" if domain else name


def _nodes(nodes: Iterable[NodeProto]) -> Iterator[NodeProto]:
    """Nodes, and those of the graphs inside them."""
    for node in nodes:
        yield node
        for graph in subgraphs(node):
            yield from _nodes(graph.node)
