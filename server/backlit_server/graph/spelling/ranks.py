"""How many dimensions a tensor has, where onnx's shape inference is silent because only the run tells its sizes."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from onnx import GraphProto, helper

from backlit_server.graph.recording.kinds import kinds_of

Shapes = Sequence[tuple[int | str, ...] | None]


def give_ranks(graph: GraphProto) -> bool:
    """Writes the ranks that follow from a node and the shapes of its inputs into the graph; whether there were any."""
    kinds = dict(kinds_of(graph))
    values = {v.name: v for v in (*graph.value_info, *graph.output)}
    missing = {name for name in values if name in kinds and kinds[name].shape is None}
    found = False
    for node in graph.node:
        table, name = (READ, node.input[0]) if node.op_type in READ else (RANKS, node.output[0])
        if node.domain or node.op_type not in table or name not in missing:
            continue
        shapes = [kinds[given].shape if given in kinds else None for given in node.input]
        rank = table[node.op_type](shapes, {a.name: helper.get_attribute_value(a) for a in node.attribute})
        if rank is not None:
            values[name].type.CopyFrom(helper.make_tensor_type_proto(kinds[name].dtype, [None] * rank))
            found = True
    return found


def _same(shapes: Shapes, _attributes: Mapping[str, Any]) -> int | None:
    return None if shapes[0] is None else len(shapes[0])


def _changed(shapes: Shapes, sign: int) -> int | None:
    """As many more or fewer as the second input names axes."""
    axes = shapes[1][0] if len(shapes) > 1 and shapes[1] else None
    return len(shapes[0]) + sign * axes if shapes[0] is not None and isinstance(axes, int) and axes else None


def _reduced(shapes: Shapes, attributes: Mapping[str, Any]) -> int | None:
    return _same(shapes, attributes) if attributes.get("keepdims", 1) else _changed(shapes, -1)


Rank = Callable[[Shapes, Mapping[str, Any]], int | None]
# Of the first input, which its reader tells: it has as many dimensions as the weights.
READ: Mapping[str, Rank] = dict.fromkeys(
    ("Conv", "ConvTranspose"), lambda shapes, _: None if shapes[1] is None else len(shapes[1])
)
# Of the first output.
RANKS: Mapping[str, Rank] = {
    "CenterCropPad": _same,
    "MaxUnpool": _same,
    "OneHot": lambda shapes, _: None if shapes[0] is None else len(shapes[0]) + 1,
    "STFT": lambda shapes, _: 4,
    "Squeeze": lambda shapes, _: _changed(shapes, -1),
    "Unsqueeze": lambda shapes, _: _changed(shapes, 1),
    **dict.fromkeys(
        (
            "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin",
            "ReduceProd", "ReduceSum", "ReduceSumSquare",
        ),
        _reduced,
    ),
}  # fmt: skip
