"""Detectors that look at several scales: which anchors belong to which, and where those are best looked at.

What every path to all scores crosses lies before the scales part, and shows little of any one of them.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from onnx import NodeProto, helper

from backlit_server.graph.reading.layers import MOVES, Layer, layers, permutation
from backlit_server.graph.reading.paths import on_paths
from backlit_server.graph.reading.scores import Scores
from backlit_server.graph.reading.view import View
from backlit_server.graph.reading.wayback import KEEPS_AXES
from backlit_server.graph.reading.wiring import Wiring


@dataclass(frozen=True)
class Level:
    """The anchors of one scale, and the last layer that every path from the images to their scores crosses."""

    anchors: range
    layer: Layer


def levels(wires: Wiring, scores: Scores, views: Mapping[str, View], images: Collection[str]) -> tuple[Level, ...]:
    """The levels of a detector in the order of its anchors; none where its scores are not joined of several parts."""
    if "A" not in scores.task.axes:
        return ()
    found, first = [], 0
    for part, size in _parts(wires, scores.name, 1 + scores.task.axes.index("A")):
        same = holding(wires, part)
        seen = [layer for layer in layers(wires, on_paths(wires, part), views, images) if layer.on_every_path]
        last = next((layer for layer in reversed(seen) if layer.name not in same), None)
        if last is None:
            return ()
        found.append(Level(range(first, first + size), last))
        first += size
    return tuple(found)


def holding(wires: Wiring, name: str) -> frozenset[str]:
    """The tensors that hold the values of a tensor, or part of them, in whatever order."""
    found, waiting = {name}, [name]
    while waiting:
        name = waiting.pop()
        node = wires.nodes[wires.maker[name]] if name in wires.maker else None
        if node is not None and (node.op_type in MOVES or node.op_type == "Concat"):
            sources = node.input if node.op_type == "Concat" else node.input[:1]
            waiting.extend(source for source in sources if source not in found)
            found.update(sources)
    return frozenset(found)


def _parts(wires: Wiring, name: str, axis: int) -> list[tuple[str, int]]:
    """The tensors that are joined along an axis to make this one, with their sizes; none where it is one piece."""
    while name in wires.maker:
        node = wires.nodes[wires.maker[name]]
        if node.op_type == "Concat" and _axis(wires, node) == axis:
            sizes = [(wires.kinds[part].shape or ())[axis] for part in node.input]
            known = [size for size in sizes if isinstance(size, int)]
            return list(zip(node.input, known, strict=True)) if len(known) == len(sizes) > 1 else []
        if node.op_type == "Transpose":
            axis = permutation(node, len(wires.kinds[name].shape or ()))[axis]
        elif node.op_type not in KEEPS_AXES and not (node.op_type == "Split" and _axis(wires, node) != axis):
            break
        name = node.input[0]
    return []


def _axis(wires: Wiring, node: NodeProto) -> int:
    """The axis attribute, counted from the first."""
    given = next((helper.get_attribute_value(a) for a in node.attribute if a.name == "axis"), 0)
    return given % len(wires.kinds[node.output[0]].shape or (0,))
