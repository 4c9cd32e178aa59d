"""The walk: from node to node against the arrows, into bodies where nodes have them. It knows no operator by name."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper

from backlit_proto.errors import NotDifferentiable
from backlit_server.graph.gradient_path import Blocker, Path, blockers, label, name_of, path_between
from backlit_server.graph.opening import with_rules
from backlit_server.graph.recording.broadcast import fitted
from backlit_server.graph.recording.kinds import Kind, kinds_of, value_info
from backlit_server.graph.recording.schema import arity, attributes_of
from backlit_server.graph.recording.sym import Sym
from backlit_server.graph.recording.tape import Tape
from backlit_server.graph.rules.definition import Definition
from backlit_server.graph.spelling.bodies import captured, captures, closed, standing
from backlit_server.graph.vjp import Rule

Rules = Mapping[str, Rule]


def backward(tape: Tape, path: Path, seeds: Mapping[str, Sym], rules: Rules) -> tuple[dict[str, Sym], list[Blocker]]:
    """The gradients of the tensors on the path, and the nodes in the way: without a rule, or with one that refused.

    Behind those the tensors themselves stand in for their gradients, so that the walk finds the others too.
    """
    terms = {name: [seed] for name, seed in seeds.items()}
    found = list(blockers(path, rules))
    for node in reversed(path.nodes):
        g = [_total(terms, name) for name in node.output]
        if all(part is None for part in g):
            continue
        names = operands(node)
        typed = [name for name in names if name in path.tensors and name in tape.kinds]
        parts: list[Any] = [Sym(tape, name) if name in typed else None for name in names]
        lost = found and not path.tensors.intersection(names).issubset(typed)  # its types, behind what has no rule
        if label(node) in rules and not lost:
            try:
                parts = passed(tape, node, g, path, rules, found)
            except NotDifferentiable as refused:
                found.append(Blocker(label(node), name_of(node), refused.message))
        for name, part in zip(names, parts, strict=True):
            if part is not None:
                terms.setdefault(name, []).append(fitted(part, Sym(tape, name)))
    totals = {name: _total(terms, name) for name in terms}
    return {name: g for name, g in totals.items() if g is not None}, found


def operands(node: NodeProto) -> tuple[str, ...]:
    """What a rule gives gradients for: the inputs of a node, then what its bodies take from around them."""
    return (*node.input, *captured(node))


def _total(terms: dict[str, list[Sym]], name: str) -> Sym | None:
    """The gradient of a tensor: one Sum of what all its readers gave."""
    parts = terms.get(name)
    if parts and len(parts) > 1:
        parts[:] = [parts[0].op("Sum", *parts[1:])]
    return parts[0] if parts else None


def passed(
    tape: Tape, node: NodeProto, g: list[Sym | None], path: Path, rules: Rules, found: list[Blocker]
) -> list[Any]:
    """The gradient of each operand that lies on the path, by the rule."""
    names, (inputs, outputs) = operands(node), arity(node, tape.opset)
    x = [Sym(tape, name) if name else None for name in (*names, *[""] * (inputs - len(names)))]
    y = [Sym(tape, name) if name else None for name in node.output]
    absent = (None,) * (outputs - len(y))
    results = ((*g, *absent), (*y, *absent)) if outputs > 1 else (g[0], y[0])
    given = attributes_of(node, tape.opset)
    attributes = {
        k: Body(v, node, tape, path, rules, found) if isinstance(v, GraphProto) else v for k, v in given.items()
    }
    asked = [name in path.tensors for name in names]
    rule = rules[label(node)]
    made = rule if isinstance(rule, Definition) else rule(*results, *x, **attributes)
    if isinstance(made, Definition):
        return _through(tape, partial(made.formula, **attributes), g, x, asked, rules)
    parts = made if isinstance(made, tuple) else (made,)
    if any(asked[len(parts) :]):
        raise NotDifferentiable(f"the rule gives no gradient for input {asked.index(True, len(parts))}")
    kept = [part if ask else None for part, ask in zip(parts, asked, strict=False)]
    return [part() if callable(part) else part for part in kept] + [None] * (len(asked) - len(kept))


def _through(
    tape: Tape,
    formula: Callable[..., Any],
    g: list[Sym | None],
    x: list[Sym | None],
    asked: list[bool],
    rules: Rules,
) -> list[Sym | None]:
    """The gradient of each input that is asked for, back through the nodes that define the operator.

    Inputs get names of their own, for a tensor may come in twice, or be a constant, which would be folded.
    """
    own = {k: Sym(tape, tape.renamed(t.name)) for k, t in enumerate(x) if t is not None and any(asked[k : k + 1])}
    made = formula(*(own.get(k, t) for k, t in enumerate(x)))
    results = made if isinstance(made, tuple) else (made,)
    seeds = {y.name: part for y, part in zip(results, g, strict=False) if part is not None}
    path = path_between(tape.recorded, tape.kinds, seeds, [t.name for t in own.values()])
    found, blocking = backward(tape, path, seeds, rules)
    if blocking:
        raise NotDifferentiable(blocking[0].reason)
    return [found.get(own[k].name) if k in own else None for k in range(len(asked))]


@dataclass(frozen=True)
class Body:
    """A graph inside a node, as its rule sees it: what it reads and gives, and its gradients for the asking.

    `tape` and `path` are those of the graph around it; what refuses inside is told to the walk (`found`).
    """

    graph: GraphProto
    node: NodeProto
    tape: Tape
    path: Path
    rules: Rules
    found: list[Blocker]

    @property
    def inputs(self) -> tuple[str, ...]:
        return tuple(value.name for value in self.graph.input)

    @property
    def outputs(self) -> tuple[str, ...]:
        return tuple(value.name for value in self.graph.output)

    @property
    def wanted(self) -> tuple[str, ...]:
        """What is captured from the path around."""
        return tuple(name for name in captures(self.graph) if name in self.path.tensors)

    def between(self, outputs: Collection[str], wrt: Collection[str]) -> frozenset[str]:
        """The tensors on which a gradient lies between others."""
        return path_between(self.graph.node, self.kinds, outputs, wrt, self.rules).tensors

    @property
    def kinds(self) -> dict[str, Kind]:
        return self.tape.kinds | dict(kinds_of(self.graph))

    def backward(self, seeds: Sequence[tuple[str, str]], wrt: Collection[str]) -> "Step":
        """The body and its gradients, given the names of the gradients of its outputs."""
        outputs = dict(seeds)
        model = standing(self.graph, self.tape.model, self.tape.kinds, self._constant)
        model = with_rules(model, tuple(outputs), tuple(wrt), self.rules)
        tape = Tape(model, f"{self.tape.name(name_of(self.node))}/")
        path = path_between(model.graph.node, tape.kinds, outputs, wrt, self.rules)
        terms: dict[str, list[Sym]] = {}
        for output, name in seeds:
            tape.add_input(name, Sym(tape, output).kind)
            terms.setdefault(output, []).append(Sym(tape, name))
        first = {name: total for name in terms if (total := _total(terms, name)) is not None}
        gradients, blocked = backward(tape, path, first, self.rules)
        self.found.extend(blocker.inside(name_of(self.node)) for blocker in blocked)
        return Step(tape, gradients, frozenset(captures(self.graph)))

    def expose(self, names: Sequence[str], lists: Collection[str] = ()) -> tuple[Sym, ...]:
        """Further outputs of the node: the values that inputs of the body have in each turn, stacked.

        `lists` are attributes that hold a number for each such output.
        """
        new = tuple(self.tape.name(name) for name in names)
        for name, out in zip(names, new, strict=True):
            kind = self.kinds[name]
            inner = self.tape.name(f"{name}/turn")
            self.graph.node.append(helper.make_node("Identity", [name], [inner], inner))
            self.graph.output.append(value_info(inner, kind))
            self.tape.kinds[out] = Kind(kind.dtype, (f"{out}[0]", *(kind.shape or ())))
        for attribute in self.node.attribute:
            if attribute.name in lists:
                attribute.ints.extend([0] * len(names))
        self.node.output.extend(new)
        return tuple(Sym(self.tape, name) for name in new)

    def _constant(self, name: str) -> TensorProto | None:
        value = self.tape.value(name) if self.tape.small(name) else None
        return None if value is None else numpy_helper.from_array(value, name)


@dataclass(frozen=True)
class Step:
    """A body that goes on to compute its gradients: `tape` writes inside it."""

    tape: Tape
    gradients: Mapping[str, Sym]
    around: frozenset[str]

    def gradient(self, name: str, like: Sym) -> Sym:
        """Of a tensor of the body, or of around it; zeros where there is none."""
        return self.gradients[name] if name in self.gradients else self.read(name, like.kind).zeros()

    def read(self, name: str, kind: Kind) -> Sym:
        """A tensor that is an input of the body, or captured."""
        if name not in self.tape.kinds:
            self.tape.add_input(name, kind)
        return Sym(self.tape, name)

    def closed(self, outputs: Sequence[Sym], inputs: Sequence[str] = (), offered: Sequence[str] = ()) -> GraphProto:
        """A body of these inputs, and of those of the offered ones that it reads; all else it captures."""
        names = {self.tape.name(f"out/{k}"): y.name for k, y in enumerate(outputs)}
        return closed(self.tape.finish(names), inputs, offered, tuple(names), self.around)
