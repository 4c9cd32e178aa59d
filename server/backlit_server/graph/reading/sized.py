"""A model at one size: two images, every shape a number, shape arithmetic gone. What is proved of it is read off."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, shape_inference

from backlit_proto.errors import BadModel
from backlit_server.graph.reading.layout import layout
from backlit_server.graph.reading.wiring import Wiring
from backlit_server.graph.recording.kinds import kinds_of
from backlit_server.graph.recording.tape import opset_of
from backlit_server.graph.spelling.aside import set_aside
from backlit_server.graph.spelling.attempt import attempt
from backlit_server.graph.spelling.elsewhere import out_of_reach, values_of
from backlit_server.graph.spelling.fold import fold

IMAGES = 2  # so that what belongs to one image can be told from what belongs to the other
FREE_SIDE = 224  # height and width where the file leaves them open


@dataclass(frozen=True)
class Sized:
    """Nodes in order, the shape of every tensor, and the constants among them.

    `free`: whether the file leaves more open than the number of images, so that a number here may be another there.
    """

    nodes: tuple[NodeProto, ...]
    shapes: Mapping[str, tuple[int, ...]]
    constants: Mapping[str, TensorProto]
    opset: int
    images: int
    free: bool

    def value(self, name: str) -> np.ndarray | None:
        """The numbers of a tensor, where they are the same in every run and lie in the file."""
        tensor = self.constants.get(name)
        return None if tensor is None or out_of_reach(tensor) else values_of(tensor)


def sized(model: ModelProto, wires: Wiring) -> Sized:
    """A canonical model for two images, or for one where its nodes contradict two; no shapes where they do both."""
    for images in (IMAGES, 1):
        try:
            return _sized(model, wires, images)
        except BadModel:
            continue
    return Sized((), {}, {}, opset_of(model), 1, True)


def _sized(model: ModelProto, wires: Wiring, images: int) -> Sized:
    light, weights = set_aside(model)
    sizes = _sizes(wires, images)
    for value in _values(light.graph):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param in sizes:
                dim.dim_value = sizes[dim.dim_param]
    light = fold(light, weights)
    if images > 1:
        what = "the model contradicts two images"
        attempt(what, lambda: shape_inference.infer_shapes(light, strict_mode=True, data_prop=True))
    shapes = {name: kind.fixed for name, kind in kinds_of(light.graph) if kind.fixed is not None}
    constants = weights | {t.name: t for t in light.graph.initializer}
    firsts = [_first(wires.kinds[name].shape) for name in wires.inputs]
    free = bool(set(sizes) - set(firsts))
    counted = next((first for first in firsts if isinstance(first, int)), images)
    return Sized(tuple(light.graph.node), shapes, constants, opset_of(light), counted, free)


def _sizes(wires: Wiring, images: int) -> dict[str, int]:
    """A number for every size that an input leaves open."""
    found: dict[str, int] = {}
    for name in wires.inputs:
        order = layout(wires, name)
        for axis, size in enumerate(wires.kinds[name].shape or ()):
            if isinstance(size, str):
                side = FREE_SIDE if order and order[axis] in "HW" else 1
                found.setdefault(size, side if axis else images)
    return found


def _values(graph: GraphProto) -> Iterator[ValueInfoProto]:
    yield from (*graph.input, *graph.value_info, *graph.output)


def _first(shape: Sequence[int | str] | None) -> int | str | None:
    return shape[0] if shape else None
