"""Reverse-mode differentiation of a graph: the walk. It knows no operator by name; VJPS does."""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any

from onnx import ModelProto, NodeProto

from backlit_proto.errors import BadQuestion, NotDifferentiable
from backlit_server.graph.broadcast import fitted
from backlit_server.graph.canonical import canonical
from backlit_server.graph.definition import Definition
from backlit_server.graph.gradient_path import Blocker, Path, blockers, depends, label, name_of, path_between, refusal
from backlit_server.graph.schema import arity, attributes_of, is_defined, opened
from backlit_server.graph.stops import REFUSED
from backlit_server.graph.sym import FLOATS, Sym
from backlit_server.graph.tape import Tape, kinds_of, names_in, opset_of, value_info
from backlit_server.graph.vjp import VJPS, Rule


def differentiate(
    model: ModelProto, outputs: Sequence[str], wrt: Sequence[str], rules: Mapping[str, Rule] = VJPS
) -> ModelProto:
    """The model with its gradients: further inputs `grad/<output>`, further outputs `grad/<x>` for each x in `wrt`.

    `grad/<x>` is the vector-Jacobian product: the sum over `outputs` of grad/<output> . d<output>/dx, in x's shape and
    type. Outputs and `wrt` are tensors of the main graph, inner ones too; an inner output becomes an output of the
    model. Made of standard operators only. NotDifferentiable names every node in the way.
    """
    model = _as_asked(_with_rules(canonical(model, [*outputs, *wrt]), outputs, wrt, rules), model)
    tape = Tape(model, "grad/")
    _check(tape, outputs, wrt)
    path = path_between(model.graph.node, tape.kinds, outputs, wrt, rules)
    found = blockers(path, rules)
    if not found:
        seeds = {output: _seed(tape, output) for output in outputs}
        gradients, found = backward(tape, path, seeds, rules)
        if not found:
            return tape.finish({f"grad/{x}": _settled(tape, x, gradients, outputs).name for x in wrt})
    raise refusal(model.graph, outputs, wrt, found)


def backward(
    tape: Tape, path: Path, seeds: Mapping[str, Sym], rules: Mapping[str, Rule]
) -> tuple[dict[str, Sym], list[Blocker]]:
    """The gradients of the tensors on the path, and the nodes whose rule refused."""
    terms = {name: [seed] for name, seed in seeds.items()}
    found: list[Blocker] = []
    for node in reversed(path.nodes):
        g = [_total(terms, name) for name in node.output]
        if all(part is None for part in g):
            continue
        try:
            parts = _passed(tape, node, g, rules[label(node)], path.tensors)
        except NotDifferentiable as refused:
            found.append(Blocker(label(node), name_of(node), refused.message))
            # the tensors themselves stand in, so that the walk finds the other nodes that refuse
            parts = [Sym(tape, name) if name in path.tensors else None for name in node.input]
        for name, part in zip(node.input, parts, strict=True):
            if part is not None:
                terms.setdefault(name, []).append(fitted(part, Sym(tape, name)))
    totals = {name: _total(terms, name) for name in terms}
    return {name: g for name, g in totals.items() if g is not None}, found


def _total(terms: dict[str, list[Sym]], name: str) -> Sym | None:
    """The gradient of a tensor: one Sum of what all its readers gave."""
    parts = terms.get(name)
    if parts and len(parts) > 1:
        parts[:] = [parts[0].op("Sum", *parts[1:])]
    return parts[0] if parts else None


def _passed(tape: Tape, node: NodeProto, g: list[Sym | None], rule: Rule, wanted: Collection[str]) -> list[Any]:
    """The gradient of each input that lies on the path, by the rule."""
    inputs, outputs = arity(node, tape.opset)
    x = [Sym(tape, name) if name else None for name in (*node.input, *[""] * (inputs - len(node.input)))]
    y = [Sym(tape, name) if name else None for name in node.output]
    absent = (None,) * (outputs - len(y))
    results = ((*g, *absent), (*y, *absent)) if outputs > 1 else (g[0], y[0])
    attributes = attributes_of(node, tape.opset)
    asked = [name in wanted for name in node.input]
    made = rule if isinstance(rule, Definition) else rule(*results, *x, **attributes)
    if isinstance(made, Definition):
        return _through(tape, partial(made.formula, **attributes), g, x, asked)
    parts = made if isinstance(made, tuple) else (made,)
    if any(asked[len(parts) :]):
        raise NotDifferentiable(f"the rule gives no gradient for input {asked.index(True, len(parts))}")
    given = [part if ask else None for part, ask in zip(parts, asked, strict=False)]
    return [part() if callable(part) else part for part in given] + [None] * (len(asked) - len(given))


def _through(
    tape: Tape, formula: Callable[..., Any], g: list[Sym | None], x: list[Sym | None], asked: list[bool]
) -> list[Sym | None]:
    """The gradient of each input that is asked for, back through the nodes that define the operator.

    Inputs get names of their own, for a tensor may come in twice, or be a constant, which would be folded.
    """
    own = {k: Sym(tape, tape.renamed(t.name)) for k, t in enumerate(x) if t is not None and any(asked[k : k + 1])}
    made = formula(*(own.get(k, t) for k, t in enumerate(x)))
    results = made if isinstance(made, tuple) else (made,)
    seeds = {y.name: part for y, part in zip(results, g, strict=False) if part is not None}
    path = path_between(tape.recorded, tape.kinds, seeds, [t.name for t in own.values()])
    found, blocking = backward(tape, path, seeds, VJPS)
    if blocking:
        raise NotDifferentiable(blocking[0].reason)
    return [found.get(own[k].name) if k in own else None for k in range(len(asked))]


def _as_asked(made: ModelProto, model: ModelProto) -> ModelProto:
    """`made` with those inputs of `model` that are weights, as files before IR 4 list them."""
    listed = {i.name for i in model.graph.input} - {i.name for i in made.graph.input}
    held = {t.name for t in made.graph.initializer}
    made.graph.input.extend(i for i in model.graph.input if i.name in listed)
    made.graph.initializer.extend(t for t in model.graph.initializer if t.name in listed - held)
    return made


def _with_rules(model: ModelProto, outputs: Sequence[str], wrt: Sequence[str], rules: Mapping[str, Rule]) -> ModelProto:
    """The model, operators without a rule replaced by the function that the ONNX specification defines them by."""
    kinds = dict(kinds_of(model.graph))
    lost = {blocker.op for blocker in blockers(path_between(model.graph.node, kinds, outputs, wrt, rules), rules)}
    defined = frozenset(op for op in lost if op not in REFUSED and is_defined(op, opset_of(model)))
    return (
        _with_rules(canonical(opened(model, defined, kinds), [*outputs, *wrt]), outputs, wrt, rules)
        if defined
        else model
    )


def _check(tape: Tape, outputs: Sequence[str], wrt: Sequence[str]) -> None:
    for name in (*outputs, *wrt):
        if name not in names_in(tape.model.graph):
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


def _settled(tape: Tape, x: str, gradients: Mapping[str, Sym], outputs: Sequence[str]) -> Sym:
    """The gradient of x; zeros where the outputs depend on x in steps only."""
    if x in gradients:
        return gradients[x]
    if not depends(tape.model.graph, outputs, x):
        raise NotDifferentiable(f"{', '.join(map(repr, outputs))} do not depend on {x!r}, so there is no gradient")
    return Sym(tape, x).zeros()
