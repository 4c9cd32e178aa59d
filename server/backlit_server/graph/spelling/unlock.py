"""A model that was exported for one image, with its batch axis free: a proposal, which only runs can confirm.

The size of the batch hides in the types of the inputs, and in constants of the few operators that are told whole
shapes: LOOSE has a rule for each.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from backlit_server.graph.canonical import canonical
from backlit_server.graph.recording.kinds import Kind, kinds_of
from backlit_server.graph.spelling.aside import put_back, set_aside
from backlit_server.graph.spelling.fold import fold
from backlit_server.graph.spelling.reads import names_in

BATCH = "batch"


@dataclass(frozen=True)
class Scene:
    """What the rules see of a graph: kinds, also as they were with one image, constant vectors, the free size's name.

    `made` are new constants.
    """

    kinds: Mapping[str, Kind]
    single: Mapping[str, Kind]
    vectors: Mapping[str, list[int]]
    batch: str
    made: dict[str, np.ndarray]

    def shape(self, name: str) -> tuple[int | str, ...]:
        return (self.kinds[name].shape if name in self.kinds else None) or ()

    def constant(self, name: str, values: list[int]) -> str:
        self.made[name] = np.array(values, np.int64)
        return name


def unlocked(file: ModelProto) -> ModelProto | None:
    """A canonical model whose inputs leave open what was a first axis of one; None where no input has that."""
    light, weights = set_aside(file)
    held = {t.name for t in light.graph.initializer} | set(weights)
    shapes = [i.type.tensor_type.shape.dim for i in light.graph.input if i.name not in held]
    first = [dims[0] for dims in shapes if dims and dims[0].dim_value == 1]
    if not first:
        return None
    batch = _fresh(light.graph)
    for dim in first:
        dim.dim_param = batch
    single = dict(kinds_of(canonical(file).graph))
    return _loosened(canonical(put_back(light, weights)), single, batch)


def _fresh(graph: GraphProto) -> str:
    taken = {d.dim_param for i in graph.input for d in i.type.tensor_type.shape.dim} | set(names_in(graph))
    return next(name for name in (BATCH + "_" * k for k in range(len(taken) + 1)) if name not in taken)


def _loosened(model: ModelProto, single: Mapping[str, Kind], batch: str) -> ModelProto:
    """Each change may let the batch reach nodes that were out of its reach: rounds go on until one finds nothing."""
    light, weights = set_aside(model)
    done: set[str] = set()
    while _round(light.graph, single, batch, done):
        light = fold(light, weights, frozenset())
    return put_back(light, weights)


def _round(graph: GraphProto, single: Mapping[str, Kind], batch: str, done: set[str]) -> bool:
    """Loosens what can be loosened now, in place, each node once; whether there was anything."""
    vectors = {t.name: numpy_helper.to_array(t).tolist() for t in graph.initializer if _is_vector(t)}
    scene = Scene(dict(kinds_of(graph)), single, vectors, batch, {})
    nodes, before = [], len(done)
    for node in graph.node:
        rule = None if node.domain or node.output[0] in done else LOOSE.get(node.op_type)
        loose = rule(node, scene) if rule else None
        if loose:
            done.add(node.output[0])
        nodes += loose or [node]
    del graph.node[:]
    graph.node.extend(nodes)
    graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in scene.made.items())
    return len(done) > before


def _is_vector(tensor: TensorProto) -> bool:
    return tensor.data_type == TensorProto.INT64 and len(tensor.dims) == 1


def _reshape(node: NodeProto, scene: Scene) -> list[NodeProto] | None:
    """A size of one becomes 0, which keeps the input's; another size that the batch is part of becomes -1."""
    before, target = scene.shape(node.input[0]), scene.vectors.get(node.input[1])
    if not before or target is None or any(a.name == "allowzero" and a.i for a in node.attribute):
        return None
    if target and target[0] == 1 and before[0] in (1, scene.batch):
        wanted = [0, *target[1:]]
    else:
        alone = scene.single.get(node.input[0])
        wanted = _with_batch(before, alone.fixed if alone else None, target)
    if wanted is None:
        return None
    made = NodeProto()
    made.CopyFrom(node)
    made.input[1] = scene.constant(f"{node.output[0]}/shape of {scene.batch}", wanted)
    return [made]


def _with_batch(before: tuple[int | str, ...], alone: tuple[int, ...] | None, target: list[int]) -> list[int] | None:
    """The target with -1 for the size that holds the batch: there, as many values lie ahead as in the input.

    `before` and `alone` are the input's shape with a free batch, and with one image. None where that cannot be told.
    """
    free = [axis for axis, size in enumerate(before) if isinstance(size, str)]
    if len(free) != 1 or alone is None or len(alone) != len(before) or 0 in target:
        return None
    rest = math.prod(size for size in target if size > 0)
    whole = [size if size > 0 else math.prod(alone) // rest for size in target]
    ahead = math.prod(alone[: free[0]])
    place = next((k for k in range(len(whole)) if math.prod(whole[:k]) == ahead), None)
    return None if place is None or target[place] == -1 else [*whole[:place], -1, *whole[place + 1 :]]


def _resize(node: NodeProto, scene: Scene) -> list[NodeProto] | None:
    """Sizes are given for the axes behind the batch alone."""
    shape = scene.shape(node.input[0])
    sizes = scene.vectors.get(node.input[3]) if len(node.input) > 3 else None
    if shape[:1] != (scene.batch,) or not sizes or len(sizes) != len(shape) or sizes[0] != 1:
        return None
    axes = [k for k in range(1, len(sizes)) if sizes[k] != shape[k]] or [len(sizes) - 1]
    made = NodeProto()
    made.CopyFrom(node)
    made.input[3] = scene.constant(f"{node.output[0]}/sizes", [sizes[k] for k in axes])
    kept = [a for a in node.attribute if a.name != "axes"]
    del made.attribute[:]
    made.attribute.extend([*kept, helper.make_attribute("axes", axes)])
    return [made]


def _concat(node: NodeProto, scene: Scene) -> list[NodeProto] | None:
    """What is the same for all images, such as a class token, is repeated for each of them."""
    shapes = [scene.shape(name) for name in node.input]
    axis = next(a.i for a in node.attribute if a.name == "axis")
    whole = next((name for name, shape in zip(node.input, shapes, strict=True) if shape[:1] == (scene.batch,)), None)
    single = [k for k, shape in enumerate(shapes) if shape[:1] == (1,)]
    if whole is None or not single or axis in (0, -len(shapes[single[0]])):
        return None
    stem, rank = node.output[0], len(shapes[single[0]])
    made = [
        helper.make_node("Shape", [whole], [f"{stem}/images"], f"{stem}/images", start=0, end=1),
        helper.make_node(
            "Concat", [f"{stem}/images", scene.constant(f"{stem}/ones", [1] * (rank - 1))], [f"{stem}/each"], axis=0
        ),
    ]
    joined = NodeProto()
    joined.CopyFrom(node)
    for k in single:
        joined.input[k] = f"{stem}/{k}"
        made.append(helper.make_node("Expand", [node.input[k], f"{stem}/each"], [f"{stem}/{k}"]))
    return [*made, joined]


LOOSE: dict[str, Callable[[NodeProto, Scene], list[NodeProto] | None]] = {
    "Concat": _concat,
    "Reshape": _reshape,
    "Resize": _resize,
}
