"""A forward pass and the way back in one graph, which itself picks the class of each image that is explained.

To know its best class first takes a forward pass, and the way back has another one in front of it: together 3.5
forward passes for a network of ResNet-50's size, where one graph takes 2.5.
"""

from collections.abc import Collection, MutableSequence
from typing import Any

from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper

from backlit_server.graph.method import SEED, Recipe, explained
from backlit_server.graph.narrow import CLASSES, MADE, between
from backlit_server.graph.prune import pruned
from backlit_server.graph.reading.wiring import wiring
from backlit_server.graph.seeding.seeded import Seeded

OWN = "choice/"  # before the names of what is made here
ASKED = f"{OWN}asked"  # int64 [images]: the class to explain, or THE_BEST; the best for all where it is left out
THE_BEST = -1
CHOSEN = f"{OWN}chosen"  # int64 [images]: the class that was explained


def both_ways(forward: ModelProto, head: Seeded, scores: str, recipe: Recipe) -> ModelProto:
    """What `forward` gives out, and the recipe's outputs for one class of each image.

    `head` is the same model with a way back, narrowed or not; the scores are (images, classes).
    """
    grown = explained(head, scores, recipe)
    graph = grown.graph
    narrow = any(given.name == CLASSES for given in graph.input)
    if narrow:
        _rename(graph, [scores, *between(graph, scores)])
    behind = wiring(grown).downstream([SEED, CLASSES])
    later, there = [graph.node[k] for k in sorted(behind)], {t.name for t in graph.initializer}
    first = [node for k, node in enumerate(graph.node) if k not in behind]
    made = {name for node in first for name in node.output}
    lacking = [node for node in forward.graph.node if made.isdisjoint(node.output)]
    inputs = [given for given in graph.input if given.name not in (SEED, CLASSES)]
    outputs = [*forward.graph.output, *(o for o in graph.output if o.name in recipe.outputs)]
    _fill(graph.node, [*first, *lacking, *_choice(scores, _type(forward, scores), narrow), *later])
    _fill(graph.input, [*inputs, helper.make_tensor_value_info(ASKED, TensorProto.INT64, [ASKED])])
    _fill(graph.output, [*outputs, helper.make_tensor_value_info(CHOSEN, TensorProto.INT64, [CHOSEN])])
    graph.initializer.extend(t for t in forward.graph.initializer if t.name not in there)
    graph.initializer.append(helper.make_tensor(ASKED, TensorProto.INT64, [1], [THE_BEST]))
    return pruned(grown, [o.name for o in graph.output])


def _rename(graph: GraphProto, names: Collection[str]) -> None:
    """Calls what a narrowed head makes of its scores otherwise, so that they can be there as a whole too."""
    made = {name for node in graph.node for name in node.output}
    names = made.intersection(names)
    for node in graph.node:
        node.input[:] = [MADE + name if name in names else name for name in node.input]
        node.output[:] = [MADE + name if name in names else name for name in node.output]
    for value in graph.value_info:
        value.name = MADE + value.name if value.name in names else value.name


def _choice(scores: str, dtype: int, narrow: bool) -> list[NodeProto]:
    """The class of each image, and its seed: among the chosen classes (images, images), or among all."""
    among, at = (CHOSEN, f"{OWN}rows") if narrow else (scores, CHOSEN)
    return [
        _node("ArgMax", [scores], f"{OWN}best", axis=1, keepdims=0),
        *_constants(zero=0, one=1, axis=-1),
        _node("Less", [ASKED, f"{OWN}zero"], f"{OWN}open"),
        _node("Where", [f"{OWN}open", f"{OWN}best", ASKED], CHOSEN),
        _node("Identity", [CHOSEN], CLASSES),
        _node("Shape", [among], f"{OWN}shape"),
        _node("Gather", [f"{OWN}shape", f"{OWN}axis"], f"{OWN}depth", axis=0),
        _node("Range", [f"{OWN}zero", f"{OWN}depth", f"{OWN}one"], f"{OWN}rows"),
        helper.make_node("Constant", [], [f"{OWN}values"], value=helper.make_tensor("", dtype, [2], [0, 1])),
        _node("OneHot", [at, f"{OWN}depth", f"{OWN}values"], SEED, axis=1),
    ]


def _type(model: ModelProto, output: str) -> int:
    return next(o.type.tensor_type.elem_type for o in model.graph.output if o.name == output)


def _constants(**values: int) -> list[NodeProto]:
    return [helper.make_node("Constant", [], [OWN + name], value_int=value) for name, value in values.items()]


def _node(op_type: str, inputs: list[str], output: str, **attributes: Any) -> NodeProto:
    return helper.make_node(op_type, inputs, [output], **attributes)


def _fill(field: MutableSequence[Any], values: list[Any]) -> None:
    """Puts these messages in the place of those that are there."""
    del field[:]
    field.extend(values)
