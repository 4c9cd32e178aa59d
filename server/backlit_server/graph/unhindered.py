"""Whether the walk gets through, told from one node of each kind."""

from typing import Any

from onnx import NodeProto

from backlit_proto.errors import NotDifferentiable
from backlit_server.graph.gradient_path import Path, label
from backlit_server.graph.recording.inference import numbered
from backlit_server.graph.recording.sym import Sym
from backlit_server.graph.recording.tape import Tape
from backlit_server.graph.walk import Rules, operands, passed


def unhindered(tape: Tape, path: Path, rules: Rules) -> bool:
    """Whether backward() gets through, tried on one node of each kind; False too where only all of it can tell.

    Whether a rule refuses depends on the node, on what its operands are and on which of them a gradient is asked of: a
    network of a hundred convolutions has a dozen kinds of them.
    """
    tried = set()
    for node in path.nodes:
        names = operands(node)
        if label(node) not in rules or len(names) > len(node.input) or not path.tensors.issubset(tape.kinds):
            return False
        key = _kind_of_node(tape, node, path)
        if key in tried:
            continue
        tried.add(key)
        g = [_standing_in(tape, name) if name in path.tensors else None for name in node.output]
        try:
            passed(tape, node, g, path, rules, [])
        except NotDifferentiable:
            return False
    return True


def _kind_of_node(tape: Tape, node: NodeProto, path: Path) -> tuple[Any, ...]:
    """What a node has in common with others of its kind: all but names of tensors and of dimensions."""
    dims: dict[str, str] = {}
    names = (*node.input, *node.output)
    kinds = [numbered(tape.kinds[name], dims) if name in tape.kinds else None for name in names]
    values = [tape.value(name) if name in tape.kinds and tape.small(name) else None for name in node.input]
    told = tuple(None if value is None else value.tobytes() for value in values)
    constant = tuple(tape.constant_here(name) for name in node.input)
    asked = tuple(name in path.tensors for name in names)
    return (label(node), *(a.SerializeToString() for a in node.attribute), *kinds, told, constant, asked)


def _standing_in(tape: Tape, name: str) -> Sym:
    """A gradient of a tensor that nothing made."""
    made = tape.name(f"of/{name}")
    tape.kinds[made] = tape.kinds[name]
    return Sym(tape, made)
