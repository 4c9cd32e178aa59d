"""Sequences and optionals taken apart: what is known to lie in them is read from where it was made.

Every sequence becomes one SequenceConstruct of its tensors, and every tensor out of one an Identity or a Concat, so
that values no longer pass through sequences. UNPACKED has a row for each operator: it notes what a result holds, and
writes the nodes that take the operator's place, or none where the operator has to stay.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper

from backlit_server.graph.recording.kinds import Kind, kinds_of
from backlit_server.graph.spelling.bodies import replace, written_out


@dataclass(frozen=True)
class Known:
    """`contents`: the tensors of each sequence, of an optional the one it may hold. `written`: in place of a node."""

    graph: GraphProto
    constants: Mapping[str, TensorProto]
    kinds: Mapping[str, Kind]
    contents: dict[str, tuple[str, ...]] = field(default_factory=dict)
    written: list[NodeProto] = field(default_factory=list)

    def numbers(self, name: str) -> list[int] | None:
        """Whole numbers that are the same in every run."""
        return [int(n) for n in numpy_helper.to_array(self.constants[name]).flat] if name in self.constants else None

    def write(self, op_type: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any) -> None:
        self.written.append(helper.make_node(op_type, inputs, outputs, outputs[0], **attributes))

    def hold(self, name: str, contents: Sequence[str]) -> None:
        """Writes a sequence as what it holds; an empty one stays as it is, for it has to know its type."""
        self.contents[name] = tuple(contents)
        if contents:
            self.write("SequenceConstruct", contents, [name])

    def constant(self, name: str, value: np.ndarray) -> str:
        self.graph.initializer.append(numpy_helper.from_array(value, name))
        return name


def unpack(graph: GraphProto) -> bool:
    """Takes the sequences and optionals of a graph apart, in place; whether there was anything to write."""
    if not any(node.op_type in UNPACKED for node in graph.node):
        return False
    known = Known(graph, {t.name: t for t in graph.initializer}, dict(kinds_of(graph)))
    nodes: list[NodeProto] = []
    for node in graph.node:
        if node.op_type in UNPACKED and not node.domain:
            attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
            UNPACKED[node.op_type](known, node, **attributes)
        nodes += known.written or [node]
        known.written.clear()
    return replace(graph, nodes)


def handles_sequences(graph: GraphProto) -> bool:
    """Whether a sequence or an optional occurs in a graph."""
    return any(node.op_type in UNPACKED and node.op_type != "Identity" for node in graph.node)


def _construct(known: Known, node: NodeProto) -> None:
    known.contents[node.output[0]] = tuple(node.input)


def _empty(known: Known, node: NodeProto, **_: Any) -> None:
    known.contents[node.output[0]] = ()


def _same(known: Known, node: NodeProto) -> None:
    if node.input[0] in known.contents:
        known.hold(node.output[0], known.contents[node.input[0]])


def _insert(known: Known, node: NodeProto) -> None:
    source, tensor, *position = node.input
    at = known.numbers(position[0]) if position and position[0] else [len(known.contents.get(source, ()))]
    if source in known.contents and at:
        contents = list(known.contents[source])
        contents.insert(at[0], tensor)
        known.hold(node.output[0], contents)


def _erase(known: Known, node: NodeProto) -> None:
    source, *position = node.input
    at = known.numbers(position[0]) if position and position[0] else [-1]
    if source in known.contents and at:
        contents = list(known.contents[source])
        del contents[at[0]]
        known.hold(node.output[0], contents)


def _at(known: Known, node: NodeProto) -> None:
    contents, position = known.contents.get(node.input[0]), known.numbers(node.input[1])
    if contents and position:
        known.write("Identity", [contents[position[0]]], node.output)


def _length(known: Known, node: NodeProto) -> None:
    if node.input[0] in known.contents:
        count = np.array(len(known.contents[node.input[0]]), np.int64)
        known.write("Identity", [known.constant(f"{node.output[0]}/length", count)], node.output)


def _concat(known: Known, node: NodeProto, axis: int, new_axis: int = 0) -> None:
    out, contents = node.output[0], known.contents.get(node.input[0])
    if not contents:
        return
    if new_axis:
        at = known.constant(f"{out}/axis", np.array([axis], np.int64))
        pieces = [f"{out}/piece/{k}" for k in range(len(contents))]
        for name, piece in zip(contents, pieces, strict=True):
            known.write("Unsqueeze", [name, at], [piece])
        contents = pieces
    known.write("Concat", contents, [out], axis=axis)


def _split(known: Known, node: NodeProto, axis: int = 0, keepdims: int = 1) -> None:
    """Into pieces of the lengths, of the one length, or of length 1 that then may go without their axis."""
    lengths = _lengths(known, node, axis)
    if not lengths:
        return
    out, single = node.output[0], len(node.input) < 2 or not node.input[1]
    pieces = [f"{out}/piece/{k}" for k in range(len(lengths))]
    whole = [f"{piece}/whole" for piece in pieces] if single and not keepdims else pieces
    sizes = known.constant(f"{out}/lengths", np.array(lengths, np.int64))
    known.write("Split", [node.input[0], sizes], whole, axis=axis)
    if whole is not pieces:
        at = known.constant(f"{out}/axis", np.array([axis], np.int64))
        for name, piece in zip(whole, pieces, strict=True):
            known.write("Squeeze", [name, at], [piece])
    known.hold(out, pieces)


def _lengths(known: Known, node: NodeProto, axis: int) -> list[int] | None:
    """The lengths of the pieces, None where only the run will tell."""
    given = node.input[1] if len(node.input) > 1 else ""
    if given in known.kinds and known.kinds[given].shape != ():
        return known.numbers(given)
    shape = known.kinds[node.input[0]].shape if node.input[0] in known.kinds else None
    size = shape[axis] if shape else None
    length = known.numbers(given) if given else [1]
    if not isinstance(size, int) or not length:
        return None
    return [min(length[0], size - start) for start in range(0, size, length[0])]


def _map(known: Known, node: NodeProto, body: GraphProto) -> None:
    """The body once for each tensor of the first sequence; other sequences go with it, tensors come each time."""
    lists = [known.contents.get(name) for name in node.input]
    if not lists[0] or any(name not in known.kinds for name, got in zip(node.input, lists, strict=True) if got is None):
        return
    results: list[list[str]] = [[] for _ in node.output]
    formal = [value.name for value in body.input]
    for turn in range(len(lists[0])):
        mark = f"/{node.output[0]}/{turn}"
        given = [name if got is None else got[turn] for name, got in zip(node.input, lists, strict=True)]
        made = [f"{output.name}{mark}/out" for output in body.output]
        part = written_out(body, dict(zip(formal, given, strict=True)), made, mark)
        known.graph.initializer.extend(part.initializer)
        known.written.extend(part.node)
        for result, name in zip(results, made, strict=True):
            result.append(name)
    for out, result in zip(node.output, results, strict=True):
        known.hold(out, result)


def _optional(known: Known, node: NodeProto, **_: Any) -> None:
    known.contents[node.output[0]] = tuple(node.input)


def _element(known: Known, node: NodeProto) -> None:
    """Of a tensor or a sequence the element is it itself."""
    contents = known.contents.get(node.input[0], node.input if node.input[0] in known.kinds else ())
    if contents:
        known.write("Identity", contents, node.output)


def _has_element(known: Known, node: NodeProto) -> None:
    name = node.input[0] if node.input else ""
    if not name or name in known.contents or name in known.kinds:
        there = np.array(bool(known.contents.get(name, name)))
        known.write("Identity", [known.constant(f"{node.output[0]}/there", there)], node.output)


UNPACKED: Mapping[str, Callable[..., None]] = {
    "ConcatFromSequence": _concat,
    "Identity": _same,
    "Optional": _optional,
    "OptionalGetElement": _element,
    "OptionalHasElement": _has_element,
    "SequenceAt": _at,
    "SequenceConstruct": _construct,
    "SequenceEmpty": _empty,
    "SequenceErase": _erase,
    "SequenceInsert": _insert,
    "SequenceLength": _length,
    "SequenceMap": _map,
    "SplitToSequence": _split,
}
