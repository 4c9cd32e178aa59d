"""The mean over places of what a dense layer passes back: a product with the mean of its weights.

Grad-CAM asks the first dense layer of VGG for one number a channel, and so for one weight in 49.
"""

from typing import TYPE_CHECKING

from onnx import NodeProto, helper

if TYPE_CHECKING:
    from backlit_server.graph.recording.sym import Sym

PLACES = [2, 3]
SAME = ("Identity", "Reshape")  # numbers in the same order


def averaged(maps: "Sym", axes: list[int] | None) -> "Sym | None":
    """The mean over places (rows, channels) of maps that come of one dense layer; None of others."""
    if axes != PLACES or maps.kind.shape is None or maps.rank != 4:
        return None
    rows, *sizes = maps.shape
    channels, height, width = (size if isinstance(size, int) else 0 for size in sizes)
    product = _maker(maps)
    if product is None or not _plain(product) or not maps.tape.constant_here(product.input[1]):
        return None
    vector, weights = (type(maps)(maps.tape, name) for name in product.input)
    if weights.shape[1:] != (channels * height * width,) or vector.rank != 2 or vector.shape[0] != rows:
        return None
    return vector.op("MatMul", weights.op("Reshape", [-1, channels, height * width]).mean(2)).declared((rows, channels))


def _maker(maps: "Sym") -> NodeProto | None:
    """What made these numbers, in whatever shape."""
    node = maps.tape.maker(maps.name)
    while node is not None and node.op_type in SAME:
        node = maps.tape.maker(node.input[0])
    return node


def _plain(node: NodeProto) -> bool:
    """Whether it is a product of two matrices as they are, and nothing else."""
    told = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    bare = len(node.input) == 2 and node.op_type in ("Gemm", "MatMul")
    return bare and not told.get("transA") and not told.get("transB") and told.get("alpha", 1.0) == 1.0
