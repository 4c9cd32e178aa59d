"""The tensors a heatmap can be asked at: maps of features on the way from the image to the scores."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from onnx import NodeProto, helper

from backlit_server.graph.reading.paths import crossed_by_all, dependent
from backlit_server.graph.reading.view import View
from backlit_server.graph.reading.wiring import Wiring
from backlit_server.graph.vjp import ROUNDED

NCHW = "NCHW"
# These define which axis is which, whatever came before: ONNX gives them N, C, H, W.
ANCHORS = frozenset((
    "AveragePool", "BatchNormalization", "Conv", "ConvTranspose", "DeformConv", "DepthToSpace", "GlobalAveragePool",
    "GlobalLpPool", "GlobalMaxPool", "GridSample", "GroupNormalization", "InstanceNormalization", "LRN", "LpPool",
    "MaxPool", "MaxUnpool", "SpaceToDepth",
))  # fmt: skip
# After these an axis is no longer what it was.
SCRAMBLERS = frozenset(("Einsum", "Flatten", "Gather", "GatherND", "Reshape", "Shape", "Squeeze", "Unsqueeze"))
# These move values and compute none: a map of theirs shows nothing that their input does not.
MOVES = SCRAMBLERS - {"Einsum"} | frozenset((
    "Cast", "CastLike", "CenterCropPad", "Compress", "DepthToSpace", "Dropout", "Expand", "GatherElements", "Identity",
    "Pad", "QuantizeLinear", "ReverseSequence", "Slice", "SpaceToDepth", "Split", "Tile", "Transpose",
))  # fmt: skip
UNROUNDINGS = frozenset(("DequantizeLinear",))


@dataclass(frozen=True)
class Layer:
    """A tensor to look at; sizes that the file leaves open are -1, `view` says how it is read as maps."""

    name: str
    node: str
    operator: str
    shape: tuple[int, ...]
    view: View
    on_every_path: bool

    @property
    def in_words(self) -> str:
        """Size, channels and operator, as a person would say them."""
        height, width = (str(size) if size >= 0 else "?" for size in self.view.size)
        kind = " tokens" if "T" in self.view.axes else ""
        others = f" and {self.view.others} at no place" if self.view.others else ""
        channels = self.view.channels(self.shape)
        return f"{height}x{width}{kind}{others}, {channels if channels >= 0 else '?'} channels, after {self.operator}"


def layers(
    wires: Wiring, path: frozenset[str], views: Mapping[str, View], images: Collection[str]
) -> tuple[Layer, ...]:
    """The candidates in the order of the graph: float maps of more than one position that an operator computed.

    Which of them lie on every path is asked of the paths from the images: other inputs may join the scores elsewhere.
    """
    return tuple(_layers(wires, path, views, crossed_by_all(wires, path & dependent(wires, images))))


def _layers(wires: Wiring, path: frozenset[str], views: Mapping[str, View], crossed: frozenset[str]) -> Iterator[Layer]:
    for node in wires.nodes:
        for name in node.output:
            if name not in path or name not in views or node.op_type in MOVES or not wires.float(name):
                continue
            shape, maker = views[name].shape or sizes(wires, name), _computed_by(wires, node)
            if not _only_rounded(wires, name):
                yield Layer(name, maker.name, maker.op_type, shape, views[name], name in crossed)


def _computed_by(wires: Wiring, node: NodeProto) -> NodeProto:
    """The node that computed what was only rounded and moved since."""
    while node.op_type in MOVES | UNROUNDINGS and node.input[0] in wires.maker:
        node = wires.nodes[wires.maker[node.input[0]]]
    return node


def rounded(wires: Wiring, name: str) -> str:
    """The floats that a model goes on with where it only rounds a tensor and takes it as floats again."""
    if not _only_rounded(wires, name):
        return name
    integers = wires.nodes[wires.readers[name][0]].output[0]
    floats = {
        wires.nodes[k].output[0] for k in wires.readers.get(integers, ()) if wires.nodes[k].op_type in UNROUNDINGS
    }
    return floats.pop() if len(floats) == 1 else name


def _only_rounded(wires: Wiring, name: str) -> bool:
    """Whether nothing but a rounding reads a tensor."""
    readers = [wires.nodes[k].op_type for k in wires.readers.get(name, ())]
    return bool(readers) and ROUNDED.issuperset(readers)


def sizes(wires: Wiring, name: str) -> tuple[int, ...]:
    """The shape of a tensor, -1 where a size is free."""
    return tuple(-1 if isinstance(size, str) else size for size in wires.kinds[name].shape or ())


def permutation(node: NodeProto, rank: int) -> tuple[int, ...]:
    """Where a Transpose takes each axis of its result from."""
    perm = next((helper.get_attribute_value(a) for a in node.attribute if a.name == "perm"), None)
    return tuple(reversed(range(rank))) if perm is None else tuple(perm)
