"""Activations that exporters write out: SiLU as x * sigmoid(x), GELU and HardSwish likewise, products of a tensor with
its own gate. A rule of Mul that treats them as activations finds them here."""

from collections.abc import Collection
from dataclasses import dataclass

from backlit_server.graph.recording.schema import attributes_of
from backlit_server.graph.recording.sym import Array, Sym

SATURATING = frozenset({"Clip", "Erf", "HardSigmoid", "Sigmoid", "Tanh"})  # one of them makes a gate
STEPS = SATURATING | {"Add", "Div", "Identity", "Min", "Mul", "Neg", "Pow", "Relu", "Softplus", "Sub"}
LONGEST = 16  # nodes; the longest gate in use, that of GELU with tanh, has eight
FAR = 20.0  # where every gate in use is open, to the last bit of a float32


@dataclass(frozen=True)
class Gated:
    """A product main * gate, where the gate is computed, element by element, from the main factor's source alone."""

    main: Array
    gate: Array
    source: frozenset[str]

    @property
    def opened(self) -> Array:
        """What the gate tends to where its source grows: 1 for a sigmoid, 2 for 1 + erf, 6 for HardSwish's Clip."""
        return _far(self.gate, self.source)


def gated(a: Array, b: Array) -> Gated | None:
    """The product of a and b as an activation; None where it is any other product."""
    for main, gate in ((a, b), (b, a)):
        source = _multiples(main)
        if _is_gate(gate, source):
            return Gated(main, gate, source)
    return None


def _multiples(x: Array) -> frozenset[str]:
    """The tensor and those it is a constant times."""
    names = [x.name]
    while (node := x.tape.maker(names[-1])) is not None and node.op_type in ("Mul", "Div"):
        factors = [name for name in node.input if not x.tape.constant_here(name)]
        if len(factors) != 1 or (node.op_type == "Div" and factors[0] != node.input[0]):
            break
        names.append(factors[0])
    return frozenset(names)


def _is_gate(gate: Array, source: Collection[str]) -> bool:
    waiting, passed = [gate.name], []
    while waiting:
        name = waiting.pop()
        if name in source or gate.tape.constant_here(name):
            continue
        node = gate.tape.maker(name)
        if node is None or node.domain or node.op_type not in STEPS or len(passed) == LONGEST:
            return False
        passed.append(node.op_type)
        waiting.extend(filter(None, node.input))
    return not SATURATING.isdisjoint(passed)


def _far(x: Array, source: Collection[str]) -> Array:
    """A gate computed again where its source is far above zero: a constant."""
    if x.name in source:
        return x.lift(FAR)
    node = x.tape.maker(x.name)
    if node is None:
        return x
    inputs = [_far(Sym(x.tape, name), source) if name else None for name in node.input[1:]]
    return _far(Sym(x.tape, node.input[0]), source).op(node.op_type, *inputs, **attributes_of(node, x.tape.opset))
