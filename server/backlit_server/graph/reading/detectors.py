"""Detectors: which tensor holds the scores of the anchors, which one the boxes, and what of them the file keeps."""

from dataclasses import dataclass

from onnx import NodeProto, helper

from backlit_server.graph.reading.wiring import Wiring

BOX = 4  # numbers
# Between NonMaxSuppression and an output that it only selects, none of these can stand.
COMPUTES = frozenset(("Conv", "ConvTranspose", "Gemm", "MatMul", "MaxRoiAlign", "RoiAlign"))
ANCHORS_FIRST, CLASSES_FIRST = "AC", "CA"


@dataclass(frozen=True)
class Detector:
    """`scores` (batch, anchors, classes) or (batch, classes, anchors), as `axes` says; `boxes` (batch, anchors, 4).

    `kept`: the indices that NonMaxSuppression selects, "" where the file has none. `centred`: whether a box is given
    by its centre, None where the file does not say.
    """

    scores: str
    axes: str
    boxes: str
    why: str
    kept: str = ""
    centred: bool | None = None


def detector(wires: Wiring, output: str) -> Detector | None:
    """The detector that an output is part of, None where it is none."""
    return _before_suppression(wires, output) or _side_by_side(wires, output) or _of_two_outputs(wires, output)


def _before_suppression(wires: Wiring, output: str) -> Detector | None:
    """The last NonMaxSuppression that the output is selected by."""
    above = wires.upstream([output])
    for k in sorted(above, reverse=True):
        node = wires.nodes[k]
        if node.op_type != "NonMaxSuppression":
            continue
        between = wires.downstream(node.output) & above
        if not any(wires.nodes[j].op_type in COMPUTES for j in between):
            centred = next((helper.get_attribute_value(a) for a in node.attribute if a.name == "center_point_box"), 0)
            why = f"the file ends in NonMaxSuppression over {node.input[1]!r}, with the boxes {node.input[0]!r}"
            return Detector(node.input[1], CLASSES_FIRST, node.input[0], why, node.output[0], bool(centred))
    return None


def _side_by_side(wires: Wiring, output: str) -> Detector | None:
    """Boxes and scores in one output, (batch, 4 + classes, anchors): a Concat that can be taken apart."""
    node = wires.nodes[wires.maker[output]] if output in wires.maker else None
    if node is None or node.op_type != "Concat" or len(node.input) != 2:
        return None
    boxes, scores = node.input
    axis = helper.get_node_attr_value(node, "axis")
    shapes = [wires.kinds[name].shape if name in wires.kinds else None for name in node.input]
    if any(shape is None or len(shape) != 3 for shape in shapes) or not _activated(wires, scores):
        return None
    axis %= 3
    if axis == 0 or (shapes[0] or ())[axis] != BOX:
        return None
    axes = CLASSES_FIRST if axis == 1 else ANCHORS_FIRST
    return Detector(scores, axes, boxes, f"{output!r} is made of the boxes {boxes!r} and the scores {scores!r}")


def _activated(wires: Wiring, name: str) -> bool:
    maker: NodeProto | None = wires.nodes[wires.maker[name]] if name in wires.maker else None
    return maker is not None and maker.op_type in ("Sigmoid", "Softmax")


def _of_two_outputs(wires: Wiring, output: str) -> Detector | None:
    """Scores (batch, anchors, classes) and boxes (batch, anchors, 4) as outputs of their own, of as many anchors."""
    shape = _of_rank_three(wires, output)
    if not shape:
        return None
    for boxes in wires.outputs:
        other = _of_rank_three(wires, boxes)
        if boxes == output or not other or other[2] != BOX or not _may_score(wires, output, boxes):
            continue
        why = f"{output!r} and {boxes!r} are outputs of as many anchors, with four numbers each in {boxes!r}"
        if shape[1] == other[1]:
            return Detector(output, ANCHORS_FIRST, boxes, why)
        if shape[2] == other[1]:
            return Detector(output, CLASSES_FIRST, boxes, why)
    return None


def _may_score(wires: Wiring, output: str, boxes: str) -> bool:
    """Whether of two outputs this is not the one with the boxes: where both have four numbers, the first scores."""
    shape = _of_rank_three(wires, output)
    return shape[2] != BOX or wires.outputs.index(output) < wires.outputs.index(boxes)


def _of_rank_three(wires: Wiring, name: str) -> tuple[int | str, ...]:
    shape = wires.kinds[name].shape if name in wires.kinds else None
    return tuple(shape) if shape is not None and len(shape) == 3 and wires.float(name) else ()
