"""Operators without a rule, replaced by what defines them: a function of the specification, or a formula."""

from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest
from typing import Any

from onnx import FunctionProto, ModelProto, NodeProto, TypeProto, defs, helper, inliner

from backlit_server.graph.canonical import IR, canonical
from backlit_server.graph.gradient_path import blockers, path_between
from backlit_server.graph.recording.kinds import Kind, kinds_of, type_proto
from backlit_server.graph.recording.schema import attributes_of, defaults
from backlit_server.graph.recording.sym import Sym
from backlit_server.graph.recording.tape import Tape, opset_of
from backlit_server.graph.rules import recurrent
from backlit_server.graph.stops import REFUSED
from backlit_server.graph.vjp import Rule

OPENED = "backlit.opened"  # the domain of functions while they are written out; none is left in the result
# Rather than rules, for then the operator would be computed twice: once by its kernel, once for its gradient.
WRITTEN: Mapping[str, Callable[..., Any]] = {"GRU": recurrent.gru, "LSTM": recurrent.lstm, "RNN": recurrent.rnn}


def with_rules(model: ModelProto, outputs: Sequence[str], wrt: Sequence[str], rules: Mapping[str, Rule]) -> ModelProto:
    """The model, operators without a rule replaced by the function that the ONNX specification defines them by."""
    kinds = dict(kinds_of(model.graph))
    lost = {blocker.op for blocker in blockers(path_between(model.graph.node, kinds, outputs, wrt, rules), rules)}
    defined = frozenset(op for op in lost if op not in REFUSED and is_defined(op, opset_of(model)))
    opened_up = canonical(opened(model, defined, kinds), [*outputs, *wrt]) if defined else model
    return with_rules(opened_up, outputs, wrt, rules) if defined else model


def is_defined(op: str, opset: int) -> bool:
    """Whether an operator is a function of others: by the specification of this opset, or by a formula here."""
    if op in WRITTEN:
        return True
    if not defs.has(op, opset):
        return False
    schema: Any = defs.get_schema(op, opset)  # Any: its stubs lack the functions
    return schema.has_function or schema.has_context_dependent_function


def opened(model: ModelProto, ops: frozenset[str], kinds: Mapping[str, Kind]) -> ModelProto:
    """The model with every node of these operators replaced by the function that defines it."""
    opset = opset_of(model)
    found = ModelProto()
    found.CopyFrom(model)
    for k, node in enumerate(found.graph.node):
        if node.op_type in ops and not node.domain:
            node.attribute.extend(defaults(node, opset).values())
            function = (_written if node.op_type in WRITTEN else _definition)(node, opset, kinds)
            function.name, function.domain = f"{node.op_type}_{k}", OPENED
            node.op_type, node.domain = function.name, OPENED
            found.functions.append(function)
    found.opset_import.append(helper.make_opsetid(OPENED, 1))
    written = inliner.inline_local_functions(found)
    kept = [o for o in written.opset_import if o.domain != OPENED]
    del written.opset_import[:]
    written.opset_import.extend(kept)
    return written


def _written(node: NodeProto, opset: int, kinds: Mapping[str, Kind]) -> FunctionProto:
    """The function that a formula computes of inputs like those of the node."""
    schema, stamp = defs.get_schema(node.op_type, opset), [helper.make_opsetid("", opset)]
    tape = Tape(ModelProto(ir_version=IR, opset_import=stamp), f"{node.op_type}/")
    formal = [i.name for i in schema.inputs]
    names = zip_longest(formal, node.input, fillvalue="")
    x = [_argument(tape, name, kinds[given]) if given else None for name, given in names]
    made = WRITTEN[node.op_type](*x, **attributes_of(node, opset))
    outputs = [o.name for o in schema.outputs]
    graph = tape.finish({name: y.name for name, y in zip(outputs, made, strict=True)}).graph
    constants = [helper.make_node("Constant", [], [t.name], value=t) for t in graph.initializer]
    return helper.make_function(OPENED, node.op_type, formal, outputs, [*constants, *graph.node], stamp)


def _argument(tape: Tape, name: str, kind: Kind) -> Sym:
    """An input of a formula; where nothing is known of its shape, a Reshape that keeps all sizes tells its rank."""
    tape.add_input(name, kind)
    x = Sym(tape, name)
    return x if kind.shape is not None else x.op("Reshape", [0] * recurrent.RANKS[name])


def _definition(node: NodeProto, opset: int, kinds: Mapping[str, Kind]) -> FunctionProto:
    schema: Any = defs.get_schema(node.op_type, opset)  # Any: its stubs lack the functions
    if schema.has_context_dependent_function:
        types = [(type_proto(kinds[name]) if name else TypeProto()).SerializeToString() for name in node.input]
        version = max(v for v in schema.context_dependent_function_opset_versions if v <= opset)
        body = schema.get_context_dependent_function_with_opset_version(version, node.SerializeToString(), types)
    else:
        body = schema.get_function_with_opset_version(opset)
    function = FunctionProto.FromString(body)
    del function.input[:], function.output[:]  # some definitions leave them out
    function.input.extend(i.name for i in schema.inputs)
    function.output.extend(o.name for o in schema.outputs)
    del function.opset_import[:]  # it names the opset of its last change, which stops the inliner
    function.opset_import.append(helper.make_opsetid("", opset))
    return function
