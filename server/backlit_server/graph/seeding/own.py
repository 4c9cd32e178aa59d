"""The seeding of what nodes add of their own: gradients at all of them, times their biases."""

from collections.abc import Collection, Mapping

import numpy as np
from onnx import ModelProto, NodeProto

from backlit_server.graph.gradient_path import label
from backlit_server.graph.overlays.biases import EXPLICIT, IMPLICIT, Node, Term
from backlit_server.graph.reading.paths import dependent
from backlit_server.graph.reading.view import View
from backlit_server.graph.reading.wiring import wiring
from backlit_server.graph.recording.schema import arity, attributes_of
from backlit_server.graph.recording.sym import Array, Sym
from backlit_server.graph.recording.tape import Tape
from backlit_server.graph.seeding.seeded import Seeded, with_gradients

BIAS = "bias/"  # before the name of the tensor that it is part of
ADDED, SCORE = "bias of all", "score of all"


def own(model: ModelProto, layer: str, scores: str, *, views: Mapping[str, View], implicit: bool) -> Seeded:
    """`grads` at the layer; `biases`, what nodes add where it is a map; `added`, all they add; `score`, a number a row.

    `implicit`: whether what activations add counts too; then x . g and what is added make the score.
    """
    rows = {**EXPLICIT, **IMPLICIT} if implicit else EXPLICIT
    wires = wiring(model)
    between = sorted(wires.downstream([layer]) & wires.upstream([scores]))
    varying = dependent(wires, [layer])
    nodes = [wires.nodes[k] for k in between if label(wires.nodes[k]) in rows and wires.nodes[k].output[0] in varying]
    made = with_gradients(model, [layer, *(n.output[0] for n in nodes if n.output[0] != scores)], scores)
    tape = Tape(made, BIAS)
    terms = {node.output[0]: _term(tape, node, rows[label(node)], varying) for node in nodes}
    added = {name: term for name, term in terms.items() if term is not None}
    maps = {name: views[name].maps(term) for name, term in added.items() if _is_map(views, name)}
    score, total = _by_row(tape, added.values(), scores)
    named = {BIAS + name: term.name for name, term in maps.items()}
    made = tape.finish({**named, SCORE: score.name, ADDED: total.name})
    named = {"grads": f"grad/{layer}", "biases": tuple(BIAS + name for name in maps), "score": SCORE, "added": ADDED}
    return Seeded(made, {"features": layer, **named})


def _by_row(tape: Tape, terms: Collection[Sym], scores: str) -> tuple[Sym, Sym]:
    """seed . scores of each row, and the sum of all terms of each."""
    found: Array = Sym(tape, scores)
    rows = np.concatenate([found.dims[:1], found.lift([-1])])
    score = (found * Sym(tape, f"grad/{scores}")).reshape(rows).sum(1)
    return score, sum((term.reshape(rows).sum(1) for term in terms), found.lift(0.0))


def _is_map(views: Mapping[str, View], name: str) -> bool:
    return name in views and views[name].size != (1, 1)


def _term(tape: Tape, node: NodeProto, row: Term, varying: Collection[str]) -> Sym | None:
    inputs, outputs = arity(node, tape.opset)
    names = [*node.input, *[""] * (inputs - len(node.input))]
    y = node.output[0]
    given = [Sym(tape, name) if name else None for name in names]
    moving = [name in varying for name in names]
    attributes = attributes_of(node, tape.opset)
    return row(Node(node.op_type, Sym(tape, f"grad/{y}"), Sym(tape, y), given, moving, attributes, outputs))
