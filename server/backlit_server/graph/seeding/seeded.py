"""A head that takes a seed, and what it gives."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from onnx import ModelProto, helper

from backlit_server.graph.backward import differentiate
from backlit_server.graph.reading.rounding import with_scores_unrounded
from backlit_server.graph.vjp import VJPS, Rule


@dataclass(frozen=True)
class Seeded:
    """A model or head with a seed, the input `grad/<scores>`, and by name the tensors that formulas may take."""

    model: ModelProto
    tensors: Mapping[str, str | tuple[str, ...]]


def seeded(model: ModelProto, layer: str, scores: str, gradients: bool, rules: Mapping[str, Rule] = VJPS) -> ModelProto:
    """A model or head that takes a seed, and gives the gradients at the layer where they are wanted.

    Gradients are those of the scores before they were rounded last, where that is done.
    """
    if gradients:
        return with_gradients(model, [layer], scores, rules)
    copy = ModelProto()
    copy.CopyFrom(model)
    seed = copy.graph.input.add()
    seed.CopyFrom(next(o for o in model.graph.output if o.name == scores))
    seed.name = f"grad/{scores}"
    return copy


def with_gradients(model: ModelProto, tensors: list[str], scores: str, rules: Mapping[str, Rule] = VJPS) -> ModelProto:
    """A model or head that takes a seed and gives the gradients of several tensors.

    That of the scores before they were rounded last is the seed itself, under its own name.
    """
    unrounded, name = with_scores_unrounded(model, scores)
    made = differentiate(unrounded, [name], [tensor for tensor in tensors if tensor != name], rules)
    return made if name == scores else _asked_by(made, name, scores)


def _asked_by(made: ModelProto, name: str, scores: str) -> ModelProto:
    """A differentiated model whose seed is called after the scores, and not after what it was differentiated by."""
    outputs = [o for o in made.graph.output if o.name != name]
    del made.graph.output[:]
    made.graph.output.extend(outputs)
    seed = next(i for i in made.graph.input if i.name == f"grad/{name}")
    made.graph.node.insert(0, helper.make_node("Identity", [f"grad/{scores}"], [seed.name]))
    made.graph.value_info.append(seed)
    seed.name = f"grad/{scores}"
    return made


def by_rules(rules: Mapping[str, Rule]) -> Callable[..., Seeded]:
    """The seeding by one table of rules: `features` and `grads` at the layer, and `weights` as without gradients."""

    def made(model: ModelProto, layer: str, scores: str) -> Seeded:
        tensors = {"features": layer, "grads": f"grad/{layer}", "weights": f"grad/{scores}"}
        return Seeded(seeded(model, layer, scores, True, rules), tensors)

    return made


def without_gradients(model: ModelProto, layer: str, scores: str) -> Seeded:
    """`features` at the layer, and `weights`: the seed, which the formula's graph multiplies with those of the head."""
    made = seeded(model, layer, scores, False)
    return Seeded(made, {"features": layer, "weights": f"grad/{scores}"})
