"""The maps of all classes at once, where the head is global pooling and one linear layer.

There the gradient of every class is known before any run: its weights, over the number of places. A formula given
these for gradients makes all maps in one product of the features with the weights of the head.
"""

import math
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, ValueInfoProto, helper

from backlit_server.graph.cut import Cut
from backlit_server.graph.method import Recipe
from backlit_server.graph.prune import pruned
from backlit_server.graph.recording.formula import with_formula
from backlit_server.graph.recording.kinds import kinds_of
from backlit_server.graph.recording.sym import HALVES, Sym

JUDGED = ("low", "high", "total")
GIVEN = frozenset(("features", "grads", "weights"))


def class_maps(cut: Cut, recipe: Recipe) -> ModelProto | None:
    """From the features of one image to the recipe's outputs for every class, classes first; and what judges the maps.

    These are of each map the smallest value, the largest, and the sum (`low`, `high`, `total`).
    None where the head is another, where the formula takes more than features, gradients and weights, and where it
    would make a tensor larger than all of these and the maps themselves.
    """
    if recipe.linear is None or not GIVEN.issuperset(recipe.needs):
        return None
    weights = np.ascontiguousarray(recipe.linear.T[:, :, np.newaxis, np.newaxis])

    def formula(features: Any) -> Any:
        maps = recipe.view.maps(features.astype(TensorProto.FLOAT) if features.dtype in HALVES else features)
        # By its second name it is not folded into as many weights as there are places, small as it may be.
        by_class = Sym(maps.tape, maps.tape.renamed(maps.lift(weights).astype(maps.dtype).name))
        same = (by_class / maps.size_of((2, 3))).op("Expand", maps.lift([len(weights), 1, 1, 1]).op("Max", maps.dims))
        tensors = {"features": maps, "grads": same, "weights": by_class}
        made = recipe.formula(**{name: tensors[name] for name in recipe.needs})
        found = made if isinstance(made, tuple) else (made,)
        heatmap = found[0]
        return *found, heatmap.min((1, 2)), heatmap.max((1, 2)), heatmap.sum((1, 2))

    outputs = (*recipe.outputs, *JUDGED)
    made = pruned(with_formula(_of_one(cut), formula, {"features": cut.layer}, outputs), outputs)
    return made if _bounded(made, cut.layer, weights.size) else None


def _of_one(cut: Cut) -> ModelProto:
    """A model without nodes, whose input is the layer's features of one image."""
    found = next(value for value in cut.head.graph.input if value.name == cut.layer)
    value = ValueInfoProto()
    value.CopyFrom(found)
    value.type.tensor_type.shape.dim[0].dim_value = 1
    graph = helper.make_graph([], "classes", [value], [])
    return helper.make_model(graph, opset_imports=cut.head.opset_import, ir_version=cut.head.ir_version)


def _bounded(made: ModelProto, layer: str, weights: int) -> bool:
    """Whether no tensor is larger than the weights, the features or the maps."""
    sizes = {name: kind.fixed for name, kind in kinds_of(made.graph)}
    if any(size is None for size in sizes.values()):
        return False
    counted = {name: math.prod(size or ()) for name, size in sizes.items()}
    most = max(weights, counted[layer], *(counted[output.name] for output in made.graph.output))
    return max(counted.values()) <= most
