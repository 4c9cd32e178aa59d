"""Scan as it was in opset 8, with a batch axis before all others: now a Scan over the batch of one over the sequence.

onnx's converter drops the batch axis instead, of the model's inputs too: so it does not get to see these nodes.
"""

from collections.abc import Callable

from onnx import ModelProto, NodeProto, helper

from backlit_proto.errors import BadModel
from backlit_server.graph.spelling.bodies import body_of, closed, standing

HIDDEN = "backlit.batched"
Convert = Callable[[ModelProto], ModelProto]


def hide(model: ModelProto, convert: Convert) -> None:
    """Puts the Scans of a model of opset 8 aside, in place, their bodies converted.

    BadModel where sequences end at different times, which later ones do not have.
    """
    model.opset_import.add(domain=HIDDEN, version=1)
    for node in model.graph.node:
        if node.op_type == "Scan" and not node.domain:
            if node.input[0]:
                raise BadModel(
                    f"the Scan {node.name or node.output[0]!r} of opset 8 ends its sequences at different times "
                    f"({node.input[0]!r}); export the model again with opset 9 or higher"
                )
            body = body_of(node)
            outputs = [value.name for value in body.output]
            converted = convert(standing(body, model, {}, lambda _: None))
            body.CopyFrom(closed(converted, [value.name for value in body.input], [], outputs, ()))
            node.domain = HIDDEN


def unbatch(model: ModelProto) -> None:
    """Writes the hidden Scans as later opsets have them, in place."""
    for node in model.graph.node:
        if node.domain == HIDDEN:
            node.CopyFrom(_around(node))


def _around(node: NodeProto) -> NodeProto:
    """Every input is read one of the batch at a time, every output is stacked."""
    inputs = node.input[1:]
    pieces, results = ([f"{name}/one/{k}" for k, name in enumerate(of)] for of in (inputs, node.output))
    given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    inner = helper.make_node(
        "Scan",
        pieces,
        results,
        body=body_of(node),
        num_scan_inputs=given["num_scan_inputs"],
        scan_input_directions=given.get("directions"),
    )
    read, made = ([helper.make_empty_tensor_value_info(name) for name in names] for names in (pieces, results))
    body = helper.make_graph([inner], "one of the batch", read, made)
    return helper.make_node("Scan", inputs, node.output, node.name, body=body, num_scan_inputs=len(pieces))
