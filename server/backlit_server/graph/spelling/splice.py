"""Bodies that take the place of their node: the branch that is taken, the turns of a loop that grows."""

from collections.abc import Mapping

import numpy as np
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper

from backlit_server.graph.spelling.bodies import body_of, replace, written_out
from backlit_server.graph.spelling.sequences import handles_sequences

TURNS = 256  # a loop of more is not written out
Constants = Mapping[str, TensorProto]


def choose(graph: GraphProto) -> bool:
    """Puts the branch that is taken in the place of every If whose condition is known; whether there was one."""
    known = {t.name: t for t in graph.initializer}
    nodes: list[NodeProto] = []
    for node in graph.node:
        if node.op_type == "If" and not node.domain and node.input[0] in known:
            branch = body_of(node, "then_branch" if _true(node.input[0], known) else "else_branch")
            nodes += _nodes(written_out(branch, {}, node.output, ""), graph)
        else:
            nodes.append(node)
    return replace(graph, nodes)


def unroll(graph: GraphProto) -> bool:
    """Writes out, turn by turn, every Loop whose number of turns is known and that carries what no Scan can carry.

    That is, sequences, and tensors that change their shape (those that do not are declared: loops.py). Whether there
    was one.
    """
    known = {t.name: t for t in graph.initializer}
    nodes: list[NodeProto] = []
    for node in graph.node:
        turns = _turns(node, known) if node.op_type == "Loop" and not node.domain else 0
        nodes += _written(graph, node, turns) if turns else [node]
    return replace(graph, nodes)


def _turns(node: NodeProto, known: Constants) -> int:
    """How often a loop turns that is to be written out, 0 for all others."""
    count, condition, *_ = (*node.input, "")
    body = body_of(node)
    certain = count in known and _stays_true(body, known) and (not condition or _true(condition, known))
    carried = [value.type.tensor_type for value in body.input[2:]]
    if not certain or (not handles_sequences(body) and all(tensor.HasField("shape") for tensor in carried)):
        return 0
    turns = int(numpy_helper.to_array(known[count]).item())
    return turns if turns <= TURNS else 0


def _stays_true(body: GraphProto, known: Constants) -> bool:
    """Whether a body never ends its loop: the condition it returns is the one it got, or a constant."""
    source = {node.output[0]: node.input[0] for node in body.node if node.op_type == "Identity"}
    name = body.output[0].name
    while name in source:
        name = source[name]
    return name == body.input[1].name or _true(name, known)


def _true(name: str, known: Constants) -> bool:
    return name in known and bool(numpy_helper.to_array(known[name]).any())


def _written(graph: GraphProto, node: NodeProto, turns: int) -> list[NodeProto]:
    """The turns of a loop, one after the other; what each gives to a scan output is stacked as a sequence is."""
    body, nodes = body_of(node), []
    states = list(node.input[2:])
    after = 1 + len(states)
    stacks: list[list[str]] = [[] for _ in body.output[after:]]
    for turn in range(turns):
        mark = f"/{node.output[0] or node.name}/{turn}"
        constants = [(f"turn{mark}", np.array(turn, np.int64)), (f"true{mark}", np.array(True))]
        graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants)
        results = ["", *(f"{output.name}{mark}/out" for output in body.output[1:])]
        given = [*(name for name, _ in constants), *states]
        formal = [value.name for value in body.input]
        nodes += _nodes(written_out(body, dict(zip(formal, given, strict=True)), results, mark), graph)
        states = results[1:after]
        for stack, result in zip(stacks, results[after:], strict=True):
            stack.append(result)
    nodes += [
        helper.make_node("Identity", [last], [out]) for last, out in zip(states, node.output, strict=False) if out
    ]
    for stack, out in zip(stacks, node.output[after - 1 :], strict=False):
        nodes.append(helper.make_node("SequenceConstruct", stack, [f"{out}/pieces"]))
        nodes.append(helper.make_node("ConcatFromSequence", [f"{out}/pieces"], [out], axis=0, new_axis=1))
    return nodes


def _nodes(part: GraphProto, graph: GraphProto) -> list[NodeProto]:
    """The nodes of a part that is to stand in a graph, which gets its constants."""
    graph.initializer.extend(part.initializer)
    return list(part.node)
