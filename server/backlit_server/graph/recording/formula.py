"""A formula that also runs on arrays, appended to a graph: its result is computed where the model runs."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from onnx import GraphProto, ModelProto, shape_inference

from backlit_proto.errors import BadQuestion
from backlit_server.graph.recording.sym import Sym
from backlit_server.graph.recording.tape import Tape


def with_formula(
    model: ModelProto,
    formula: Callable[..., Any],
    tensors: Mapping[str, str | tuple[str, ...]],
    output: str | Sequence[str] = "heatmap",
    **parameters: Any,
) -> ModelProto:
    """The model with formula(**tensors, **parameters) as a further output, or one output for each result.

    `tensors` maps the formula's arguments to tensors of the model (inputs, outputs or inner ones), or to several.
    """
    names = [output] if isinstance(output, str) else list(output)
    named = {name for t in tensors.values() for name in ((t,) if isinstance(t, str) else t)}
    tape = Tape(_typed(model, named), "formula/")
    for name in names:
        if not tape.reserve(name):
            raise BadQuestion(f"the model already has a tensor {name!r}; choose another name for the formula's result")
    made = formula(**{argument: _recorded(tape, t) for argument, t in tensors.items()}, **parameters)
    results = made if isinstance(made, tuple) else (made,)
    return tape.finish({name: result.name for name, result in zip(names, results, strict=True)})


def _recorded(tape: Tape, t: str | tuple[str, ...]) -> Sym | tuple[Sym, ...]:
    return Sym(tape, t) if isinstance(t, str) else tuple(Sym(tape, name) for name in t)


def _typed(model: ModelProto, names: Collection[str]) -> ModelProto:
    """A copy of the model that says the types of these tensors."""
    copy = ModelProto()
    copy.CopyFrom(model)
    inferred = shape_inference.infer_shapes(copy, data_prop=True) if _untyped(copy.graph, names) else copy
    if lost := _untyped(inferred.graph, names):
        raise BadQuestion(f"the model has no tensor {', '.join(map(repr, lost))}")
    return inferred


def _untyped(graph: GraphProto, names: Collection[str]) -> list[str]:
    """Those of which the graph does not say what tensors they are."""
    values = (*graph.value_info, *graph.output, *graph.input)
    told = {value.name for value in values if value.type.WhichOneof("value") == "tensor_type"}
    told.update(tensor.name for tensor in graph.initializer)
    return [name for name in names if name not in told]
