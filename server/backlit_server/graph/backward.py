"""Reverse-mode differentiation of a model: seeds in, gradients out, or one refusal that names all in the way."""

from collections.abc import Mapping, Sequence

from onnx import ModelProto

from backlit_proto.errors import BadQuestion, NotDifferentiable
from backlit_server.graph.canonical import canonical
from backlit_server.graph.gradient_path import depends, path_between, refusal
from backlit_server.graph.opening import with_rules
from backlit_server.graph.recording.kinds import value_info
from backlit_server.graph.recording.sym import FLOATS, Sym
from backlit_server.graph.recording.tape import Tape
from backlit_server.graph.spelling.bodies import names_made
from backlit_server.graph.unhindered import unhindered
from backlit_server.graph.vjp import VJPS, Rule
from backlit_server.graph.walk import backward


def differentiate(
    model: ModelProto, outputs: Sequence[str], wrt: Sequence[str], rules: Mapping[str, Rule] = VJPS
) -> ModelProto:
    """The model with its gradients: further inputs `grad/<output>`, further outputs `grad/<x>` for each x in `wrt`.

    `grad/<x>` is the vector-Jacobian product: the sum over `outputs` of grad/<output> . d<output>/dx, in x's shape and
    type. Outputs and `wrt` are tensors of the main graph, inner ones too; an inner output becomes an output of the
    model. Made of standard operators only. NotDifferentiable names every node in the way.
    """
    made = _as_asked(with_rules(canonical(model, [*outputs, *wrt]), outputs, wrt, rules), model)
    tape = Tape(made, "grad/")
    _check(tape, outputs, wrt)
    path = path_between(made.graph.node, tape.kinds, outputs, wrt, rules)
    gradients, found = backward(tape, path, {output: _seed(tape, output) for output in outputs}, rules)
    if not found:
        return tape.finish({f"grad/{x}": _settled(Sym(tape, x), gradients, outputs, model).name for x in wrt})
    raise refusal(made.graph, outputs, wrt, found)


def passes(model: ModelProto, outputs: Sequence[str], wrt: Sequence[str], rules: Mapping[str, Rule] = VJPS) -> bool:
    """Whether a canonical model can be differentiated, found out in a fraction of the time, without making anything.

    False may also mean that only differentiate() can tell.
    """
    made = with_rules(model, outputs, wrt, rules)
    tape = Tape(made, "grad/")
    _check(tape, outputs, wrt)
    path = path_between(made.graph.node, tape.kinds, outputs, wrt, rules)
    return path.tensors.issuperset(wrt) and unhindered(tape, path, rules)


def _as_asked(made: ModelProto, model: ModelProto) -> ModelProto:
    """`made` with those inputs of `model` that are weights, as files before IR 4 list them."""
    listed = {i.name for i in model.graph.input} - {i.name for i in made.graph.input}
    held = {t.name for t in made.graph.initializer}
    made.graph.input.extend(i for i in model.graph.input if i.name in listed)
    made.graph.initializer.extend(t for t in model.graph.initializer if t.name in listed - held)
    return made


def _check(tape: Tape, outputs: Sequence[str], wrt: Sequence[str]) -> None:
    names = set(names_made(tape.model.graph))
    for name in (*outputs, *wrt):
        if name not in names:
            raise BadQuestion(f"the model has no tensor {name!r}; its inputs are {_inputs(tape.model)}")
        if name not in tape.kinds or tape.kinds[name].dtype not in FLOATS:
            raise NotDifferentiable(f"{name!r} does not hold floating-point numbers, so it has no gradient")
        if not tape.reserve(f"grad/{name}"):
            raise BadQuestion(f"the name 'grad/{name}' is taken: a tensor can be asked for once, of a model without it")


def _inputs(model: ModelProto) -> str:
    return ", ".join(repr(i.name) for i in model.graph.input)


def _seed(tape: Tape, output: str) -> Sym:
    """The gradient of an output: an input of the model, in the output's own shape and type."""
    kind = tape.kinds[output]
    if output not in (o.name for o in tape.model.graph.output):
        tape.model.graph.output.append(value_info(output, kind))
    tape.add_input(f"grad/{output}", kind)
    return Sym(tape, f"grad/{output}")


def _settled(x: Sym, gradients: Mapping[str, Sym], outputs: Sequence[str], model: ModelProto) -> Sym:
    """The gradient of x; zeros where the outputs depend on x in steps only, or on its type or shape."""
    if x.name in gradients:
        return gradients[x.name]
    if not depends(model.graph, outputs, x.name):
        listed = ", ".join(map(repr, outputs))
        raise NotDifferentiable(f"{listed} do not depend on {x.name!r}, so there is no gradient")
    return x.zeros()
