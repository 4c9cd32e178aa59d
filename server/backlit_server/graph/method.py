"""The graph of one method: features and a seed in, heatmaps out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, helper

from backlit_server.graph.cut import Cut
from backlit_server.graph.narrow import CLASSES
from backlit_server.graph.prune import fed, pruned
from backlit_server.graph.reading.view import View
from backlit_server.graph.recording.formula import with_formula
from backlit_server.graph.recording.kinds import kinds_of, value_info
from backlit_server.graph.recording.sym import HALVES, Array
from backlit_server.graph.seeding.seeded import Seeded
from backlit_server.graph.tiling import tiled

SEED = "seed"


def resized(maps: Array, like: Array) -> Array:
    """Maps at the height and width of others: bilinear, with half-pixel centres."""
    sizes = np.concatenate([maps.dims[:2], like.dims[2:]])
    return maps.op("Resize", None, None, sizes, mode="linear")


def placed(tokens: Array, view: View) -> Array:
    """Numbers of tokens (rows, tokens) as maps (rows, height, width); those at no place are left out."""
    return tokens[:, list(view.tokens)].reshape(-1, *view.size)


FUNCTIONS: Mapping[str, Callable[[View], Callable[..., Any]]] = {
    "resized": lambda view: resized,
    "placed": lambda view: partial(placed, view=view),
}
"""What a formula may take beside tensors."""
MAPS = frozenset({"features", "grads", "relevance", "reference", "multipliers"})  # tensors of the layer's own shape


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


def together(recipes: Sequence[Recipe]) -> Recipe:
    """Several methods at one layer as one, which computes what they share once; outputs are named `<index>/<name>`."""
    outputs = tuple(f"{number}/{name}" for number, recipe in enumerate(recipes) for name in recipe.outputs)
    needs = tuple(dict.fromkeys(name for recipe in recipes for name in recipe.needs))
    linear = next((recipe.linear for recipe in recipes if recipe.linear is not None), None)

    def formulas(**named: Any) -> tuple[Any, ...]:
        made = [recipe.formula(**{name: named[name] for name in recipe.needs}) for recipe in recipes]
        return tuple(result for one in made for result in (one if isinstance(one, tuple) else (one,)))

    return Recipe(formulas, needs, outputs, recipes[0].view, linear)


def apart(found: Mapping[str, np.ndarray], count: int) -> list[dict[str, np.ndarray]]:
    """The outputs of each of so many methods, by their own names."""
    if count == 1:
        return [dict(found)]
    made: list[dict[str, np.ndarray]] = [{} for _ in range(count)]
    for name, array in found.items():
        number, _, output = name.partition("/")
        made[int(number)][output] = array
    return made


def explained(seeded: Seeded, scores: str, recipe: Recipe) -> ModelProto:
    """A seeded model with the method behind it: the same graph, and the recipe's outputs. The seed is named `seed`."""
    tensors = {name: seeded.tensors[name] for name in recipe.needs if name not in FUNCTIONS}
    if "weights" in tensors and any(i.name == CLASSES for i in seeded.model.graph.input):
        tensors[CLASSES] = CLASSES
    grown = with_formula(seeded.model, _spatial(recipe), tensors, recipe.outputs)
    seed = next(i for i in grown.graph.input if i.name == f"grad/{scores}")
    grown.graph.node.insert(0, helper.make_node("Identity", [SEED], [seed.name]))
    seed.name = SEED
    return grown


def method_graph(head: Seeded, cut: Cut, scores: str, recipe: Recipe) -> ModelProto:
    """A cut's seeded head with the method behind it and nothing else, for a session of its own.

    Inputs: of what the backbone gives `batch/<tensor>` for each tensor that is needed, and `targets` (how many an
    image) where the cut's rows tile, else these tensors by their own names; `seed`, one row of scores a row, or where
    the head is narrowed of those of `classes`. Outputs: the recipe's.
    """
    model = fed(head.model, cut.vectors)
    rows = replace(head, model=tiled(model, cut.given) if cut.rows_tile else model)
    return pruned(explained(rows, scores, recipe), recipe.outputs)


def outline(cut: Cut, scores: str) -> Seeded:
    """A cut's head with its gradients, without any node: what a formula sees of it, for trying formulas."""
    kinds = dict(kinds_of(cut.head.graph))
    given = {f"grad/{name}": kinds[name] for name in (scores, cut.layer)}
    small = ModelProto(ir_version=cut.head.ir_version, opset_import=cut.head.opset_import)
    small.graph.name = "outline"
    small.graph.input.extend(cut.head.graph.input)
    small.graph.input.extend(value_info(name, kind) for name, kind in given.items())
    tensors = {"features": cut.layer, "grads": f"grad/{cut.layer}", "weights": f"grad/{scores}"}
    return Seeded(small, tensors)


def _spatial(recipe: Recipe) -> Callable[..., Any]:
    """The formula on maps (rows, channels, height, width), `weights` made from the seed; halves computed in single."""

    def formula(**named: Any) -> Any:
        given = {name: _single(t) for name, t in named.items()}
        if "weights" in given:
            assert recipe.linear is not None
            by_class = given["weights"].lift(recipe.linear.T)
            if given["weights"].rank > 2:  # scores (batch, classes, 1, 1) and the like
                given["weights"] = given["weights"].reshape(-1, recipe.linear.shape[1])
            if CLASSES in given:
                by_class = by_class.op("Gather", given.pop(CLASSES), axis=0)
            given["weights"] = (given["weights"] @ by_class).reshape(-1, len(recipe.linear), 1, 1)
        given |= {name: FUNCTIONS[name](recipe.view) for name in recipe.needs if name in FUNCTIONS}
        return recipe.formula(**{n: recipe.view.maps(t) if n in MAPS else t for n, t in given.items()})

    return formula


def _single(t: Any) -> Any:
    """A tensor, or several, with halves as single."""
    if isinstance(t, tuple):
        return tuple(map(_single, t))
    return t.astype(TensorProto.FLOAT) if t.dtype in HALVES else t
