"""Operators that move elements and compute none, run again on numbers that tell where each element is."""

from collections.abc import Sequence

import numpy as np
from onnx import NodeProto
from onnx.reference import ReferenceEvaluator

from backlit_server.graph.reading.sized import Sized

EVERY = slice(None)
# Which inputs are moved; the others say how, and have to be constants.
REPLAYED: dict[str, slice] = {
    **dict.fromkeys(
        (
            "CenterCropPad", "Compress", "DepthToSpace", "Expand", "Flatten", "Gather", "GatherElements", "GatherND",
            "Pad", "Reshape", "Slice", "SpaceToDepth", "Split", "Squeeze", "Tile", "Transpose", "Unsqueeze",
        ),
        slice(1),
    ),
    "Concat": EVERY,
    "ScatterElements": slice(0, 3, 2),
    "ScatterND": slice(0, 3, 2),
}  # fmt: skip
MOST = 1 << 25  # elements; more are not followed


def replayed(node: NodeProto, sized: Sized, positions: Sequence[np.ndarray]) -> list[np.ndarray] | None:
    """The outputs of a node whose moved inputs are these whole numbers; 0 comes from nowhere, as what a Pad adds.

    None where what says how to move is not known before the run, contradicts the shapes, or there is too much of it.
    """
    moved = list(node.input)[REPLAYED[node.op_type]]
    given = {name: sized.value(name) for name in node.input if name and name not in moved}
    if _adds(node) or sum(array.size for array in positions) > MOST:
        return None
    if node.op_type == "Pad" and len(node.input) > 2:
        given[node.input[2]] = np.array(0, positions[0].dtype)
    if any(value is None for value in given.values()):
        return None
    # What one tensor feeds twice is one array all the same.
    feeds = given | dict(zip(moved, positions, strict=True))
    try:
        return [np.asarray(made) for made in ReferenceEvaluator(node, opsets={"": sized.opset}).run(None, feeds)]
    except (IndexError, ValueError):  # a node that fails here fails in the runtime too, and is told by the trial run
        return None


def _adds(node: NodeProto) -> bool:
    """Whether a scatter does more than move."""
    return any(a.name == "reduction" and a.s not in (b"", b"none") for a in node.attribute)
