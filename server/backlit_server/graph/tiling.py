"""Each image once a target: a head takes the features of the whole batch, and repeats them inside the graph.

Rows are (image, target) pairs, images outer, targets inner, and every image has as many targets. A
formula that sums over the channels need not repeat the features at all (recording/contraction.py).
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from onnx import ModelProto, NodeProto, TensorProto, helper

if TYPE_CHECKING:
    from backlit_server.graph.recording.sym import Sym

TARGETS = "targets"  # int64 [1]: how many there are an image
WHOLE = "batch/"  # before the name of a crossing tensor as it comes in: all images, not yet rows
MADE = "tile/"  # before the names of what is made on the way


def tiled(head: ModelProto, crossing: Sequence[str]) -> ModelProto:
    """A copy of a head that takes `batch/<tensor>` for each crossing tensor, and `targets`."""
    copy = ModelProto()
    copy.CopyFrom(head)
    graph = copy.graph
    taken = [value for value in graph.input if value.name in crossing]
    graph.value_info.extend(taken)
    nodes = [node for value in taken for node in _repeat(value.name, len(value.type.tensor_type.shape.dim))]
    for value in taken:
        value.name = WHOLE + value.name
        value.type.tensor_type.shape.dim[0].dim_param = WHOLE
    graph.input.append(helper.make_tensor_value_info(TARGETS, TensorProto.INT64, [1]))
    others = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *others])
    return copy


def untiled(rows: "Sym") -> "tuple[Sym, Sym] | None":
    """The features of the whole batch that these rows repeat, and how often; None where they repeat none."""
    whole = WHOLE + rows.name
    if whole not in rows.tape.kinds:
        return None
    return type(rows)(rows.tape, whole), type(rows)(rows.tape, TARGETS)


def _repeat(name: str, rank: int) -> list[NodeProto]:
    """(images, ...) -> (images, 1, ...) -> (images, targets, ...) -> (rows, ...)."""
    made = {
        part: f"{MADE}{name}/{part}" for part in ("first", "one", "apart", "rest", "times", "every", "size", "shape")
    }
    return [
        helper.make_node("Constant", [], [made["first"]], value_ints=[-1]),
        helper.make_node("Constant", [], [made["one"]], value_ints=[1]),
        helper.make_node("Constant", [], [made["rest"]], value_ints=[1] * (rank - 1)),
        helper.make_node("Unsqueeze", [WHOLE + name, made["one"]], [made["apart"]]),
        helper.make_node("Concat", [made["one"], TARGETS, made["rest"]], [made["times"]], axis=0),
        helper.make_node("Expand", [made["apart"], made["times"]], [made["every"]]),
        helper.make_node("Shape", [WHOLE + name], [made["size"]], start=1),
        helper.make_node("Concat", [made["first"], made["size"]], [made["shape"]], axis=0),
        helper.make_node("Reshape", [made["every"], made["shape"]], [name], allowzero=1),
    ]
