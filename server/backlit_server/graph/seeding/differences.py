"""The seeding by differences to a baseline: the head is computed for both, side by side."""

import numpy as np
from onnx import ModelProto, NodeProto, helper, numpy_helper

from backlit_proto.errors import BadQuestion, NotDifferentiable
from backlit_server.graph.opening import with_rules
from backlit_server.graph.overlays.rescale import REFERENCE, RESCALE
from backlit_server.graph.reading.paths import SHAPE_READERS
from backlit_server.graph.recording.formula import with_formula
from backlit_server.graph.recording.kinds import Kind, kinds_of, value_info
from backlit_server.graph.recording.sym import Array
from backlit_server.graph.seeding.seeded import Seeded, with_gradients
from backlit_server.graph.spelling.reads import reads

GAINED = "gained"


def differences(model: ModelProto, layer: str, scores: str, *, baseline: float | np.ndarray) -> Seeded:
    """`multipliers` at the layer; `reference`, its values for the baseline; `gained`, what seed . scores gain."""
    made = with_gradients(side_by_side(model, layer, scores), [layer], scores, RESCALE)
    _fill(made, layer, _values(dict(kinds_of(model.graph))[layer], baseline))
    asked = {"seed": f"grad/{scores}", "found": scores, "before": REFERENCE + scores}
    made = with_formula(made, _gained, asked, GAINED)
    tensors = {"features": layer, "reference": REFERENCE + layer, "multipliers": f"grad/{layer}", GAINED: GAINED}
    return Seeded(made, tensors)


def side_by_side(model: ModelProto, layer: str, scores: str) -> ModelProto:
    """What is differentiated by RESCALE: the model of such operators as have a row there, for image and baseline."""
    return _beside(with_rules(model, [scores], [layer], RESCALE), layer, scores)


def _gained(seed: Array, found: Array, before: Array) -> Array:
    return (seed * (found - before)).sum(range(1, found.rank))


def _beside(model: ModelProto, layer: str, scores: str) -> ModelProto:
    """The model, and whatever depends on the values of the layer a second time, from an input of its own."""
    copy, kinds, second = ModelProto(), dict(kinds_of(model.graph)), {layer}
    copy.CopyFrom(model)
    copy.graph.input.append(value_info(REFERENCE + layer, kinds[layer]))
    for node in model.graph.node:
        if node.op_type not in SHAPE_READERS and not second.isdisjoint(reads(node)):
            copy.graph.node.append(_renamed(node, second))
            second.update(name for name in node.output if name)
    made = (name for name in second - {layer, scores} if name in kinds)
    copy.graph.output.append(value_info(REFERENCE + scores, kinds[scores]))
    copy.graph.value_info.extend(value_info(REFERENCE + name, kinds[name]) for name in made)
    return copy


def _renamed(node: NodeProto, second: set[str]) -> NodeProto:
    if not second.isdisjoint(set(reads(node)) - set(node.input)):
        raise NotDifferentiable(f"differences to a baseline do not pass what is computed inside {node.op_type}")
    made = NodeProto()
    made.CopyFrom(node)
    made.name = REFERENCE + node.name
    made.input[:] = [REFERENCE + name if name in second else name for name in node.input]
    made.output[:] = [REFERENCE + name if name else name for name in node.output]
    return made


def _values(kind: Kind, baseline: float | np.ndarray) -> np.ndarray:
    """The baseline, a number or one image in the layer's own layout, ready to be repeated to the layer's shape."""
    given = np.asarray(baseline, helper.tensor_dtype_to_np_dtype(kind.dtype))
    shape = list(kind.shape or ())[1:]
    if not given.ndim:
        return given.reshape([1] * (len(shape) + 1))
    image = given[None] if given.ndim == len(shape) else given
    sizes = [n if isinstance(n, int) else m for n, m in zip(shape, image.shape[1:], strict=False)]
    if image.shape != (1, *sizes) or len(sizes) != len(shape):
        raise BadQuestion(f"a baseline is a number, or an array of the shape of one image, {shape}; not {given.shape}")
    return image


def _fill(model: ModelProto, layer: str, values: np.ndarray) -> None:
    """The baseline's input, made of the values in the shape of the layer."""
    given = next(i for i in model.graph.input if i.name == REFERENCE + layer)
    model.graph.input.remove(given)
    model.graph.value_info.append(given)
    model.graph.initializer.append(numpy_helper.from_array(values, f"{REFERENCE}values"))
    size = helper.make_node("Shape", [layer], [f"{REFERENCE}size"])
    fill = helper.make_node("Expand", [f"{REFERENCE}values", f"{REFERENCE}size"], [REFERENCE + layer])
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([size, fill, *nodes])
