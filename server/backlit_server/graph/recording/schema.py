"""What the ONNX specification says about a node: its attributes with defaults, how many inputs and outputs it has."""

from typing import Any

from onnx import AttributeProto, NodeProto, defs, helper


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
