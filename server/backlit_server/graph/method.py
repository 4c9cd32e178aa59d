"""The graph of one method: features and a seed in, heatmaps out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, helper

from backlit_server.graph.backward import differentiate
from backlit_server.graph.cut import Cut
from backlit_server.graph.narrow import CLASSES
from backlit_server.graph.prune import pruned
from backlit_server.graph.reading.rounding import with_scores_unrounded
from backlit_server.graph.reading.view import View
from backlit_server.graph.recording.formula import with_formula
from backlit_server.graph.recording.sym import HALVES
from backlit_server.graph.tiling import tiled
from backlit_server.graph.vjp import VJPS, Rule

SEED = "seed"


@dataclass(frozen=True)
class Recipe:
    """A method as the graph needs it: its formula, the tensors it takes, the names of what it returns.

    `view` says how the layer is read as maps; formulas see (rows, channels, height, width). `linear`
    (channels, classes) are the weights behind global pooling, for formulas that take `weights`.
    """

    formula: Callable[..., Any]
    needs: Sequence[str]
    outputs: Sequence[str]
    view: View
    linear: np.ndarray | None = None


def seeded(model: ModelProto, layer: str, scores: str, gradients: bool, rules: Mapping[str, Rule] = VJPS) -> ModelProto:
    """A model or head that takes a seed, and gives the gradients at the layer where they are wanted.

    Gradients are those of the scores before they were rounded last, where that is done.
    """
    if gradients:
        unrounded, name = with_scores_unrounded(model, scores)
        made = differentiate(unrounded, [name], [layer], rules)
        return made if name == scores else _asked_by(made, name, scores)
    copy = ModelProto()
    copy.CopyFrom(model)
    seed = copy.graph.input.add()
    seed.CopyFrom(next(o for o in model.graph.output if o.name == scores))
    seed.name = f"grad/{scores}"
    return copy


def _asked_by(made: ModelProto, name: str, scores: str) -> ModelProto:
    """A differentiated model whose seed is called after the scores, and not after what it was differentiated by."""
    outputs = [o for o in made.graph.output if o.name != name]
    del made.graph.output[:]
    made.graph.output.extend(outputs)
    seed = next(i for i in made.graph.input if i.name == f"grad/{name}")
    made.graph.node.insert(0, helper.make_node("Identity", [f"grad/{scores}"], [seed.name]))
    seed.name = f"grad/{scores}"
    return made


def explained(model: ModelProto, layer: str, scores: str, recipe: Recipe) -> ModelProto:
    """A seeded model with the method behind it: the same graph, and the recipe's outputs. The seed is named `seed`."""
    named = {"features": layer, "grads": f"grad/{layer}", "weights": f"grad/{scores}"}
    tensors = {name: named[name] for name in recipe.needs}
    if "weights" in tensors and any(i.name == CLASSES for i in model.graph.input):
        tensors[CLASSES] = CLASSES
    grown = with_formula(model, _spatial(recipe), tensors, recipe.outputs)
    seed = next(i for i in grown.graph.input if i.name == f"grad/{scores}")
    grown.graph.node.insert(0, helper.make_node("Identity", [SEED], [seed.name]))
    seed.name = SEED
    return grown


def method_graph(head: ModelProto, cut: Cut, scores: str, recipe: Recipe) -> ModelProto:
    """A cut's seeded head with the method behind it and nothing else, for a session of its own.

    Inputs: `batch/<tensor>` for each crossing tensor and `targets` (how many an image) where the cut's rows tile, else
    the crossing tensors by their own names; `seed`, one row of scores a row, or where the head is narrowed of those
    of `classes`. Outputs: the recipe's.
    """
    rows = tiled(head, cut.crossing) if cut.rows_tile else head
    return pruned(explained(rows, cut.layer, scores, recipe), recipe.outputs)


def _spatial(recipe: Recipe) -> Callable[..., Any]:
    """The formula on maps (rows, channels, height, width), `weights` made from the seed; halves computed in single."""

    def formula(**named: Any) -> Any:
        given = {name: t.astype(TensorProto.FLOAT) if t.dtype in HALVES else t for name, t in named.items()}
        if "weights" in given:
            assert recipe.linear is not None
            by_class = given["weights"].lift(recipe.linear.T)
            if given["weights"].rank > 2:  # scores (batch, classes, 1, 1) and the like
                given["weights"] = given["weights"].reshape(-1, recipe.linear.shape[1])
            if CLASSES in given:
                by_class = by_class.op("Gather", given.pop(CLASSES), axis=0)
            given["weights"] = (given["weights"] @ by_class).reshape(-1, len(recipe.linear), 1, 1)
        return recipe.formula(**{n: t if n == "weights" else recipe.view.maps(t) for n, t in given.items()})

    return formula
