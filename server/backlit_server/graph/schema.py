"""What the ONNX specification says about a node: its attributes with defaults, and the function that defines it."""

from collections.abc import Mapping
from typing import Any

from onnx import AttributeProto, FunctionProto, ModelProto, NodeProto, TypeProto, defs, helper, inliner

from backlit_server.graph.tape import Kind, opset_of, type_proto

OPENED = "backlit.opened"  # the domain of functions while they are written out; none is left in the result


def defaults(node: NodeProto, opset: int) -> dict[str, AttributeProto]:
    """The attributes the node leaves out and the specification fills in."""
    if not defs.has(node.op_type, node.domain):
        return {}
    given = {a.name for a in node.attribute}
    values = {name: a.default_value for name, a in _schema(node, opset).attributes.items()}
    return {k: v for k, v in values.items() if k not in given and v.type != AttributeProto.UNDEFINED}


def attributes_of(node: NodeProto, opset: int) -> dict[str, Any]:
    """All attributes, as Python spells their values."""
    filled = [*node.attribute, *defaults(node, opset).values()]
    return {a.name: _plain(helper.get_attribute_value(a)) for a in filled}


def arity(node: NodeProto, opset: int) -> tuple[int, int]:
    """How many inputs and outputs the operator has, absent ones counted; at least two where it may have several."""
    if not defs.has(node.op_type, node.domain):
        return len(node.input), len(node.output)
    schema = _schema(node, opset)
    inputs = len(node.input) if schema.max_input > len(schema.inputs) else schema.max_input
    outputs = max(len(node.output), 2) if schema.max_output > len(schema.outputs) else schema.max_output
    return inputs, outputs


def is_defined(op: str, opset: int) -> bool:
    """Whether the specification of this opset defines an operator by a function of others."""
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
            function = _definition(node, opset, kinds)
            function.name, function.domain = f"{node.op_type}_{k}", OPENED
            node.op_type, node.domain = function.name, OPENED
            found.functions.append(function)
    found.opset_import.append(helper.make_opsetid(OPENED, 1))
    written = inliner.inline_local_functions(found)
    kept = [o for o in written.opset_import if o.domain != OPENED]
    del written.opset_import[:]
    written.opset_import.extend(kept)
    return written


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


def _schema(node: NodeProto, opset: int) -> Any:
    """Of the model's opset in the main domain, else the newest one."""
    return (
        defs.get_schema(node.op_type, opset) if not node.domain else defs.get_schema(node.op_type, domain=node.domain)
    )


def _plain(value: Any) -> Any:
    """Attribute values as Python spells them: text is str."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value.decode() if isinstance(value, bytes) else value
