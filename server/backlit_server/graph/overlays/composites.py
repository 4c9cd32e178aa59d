"""Composites: which rule of relevance a layer is passed by, told by its kind and by its depth.

Montavon et al., "Layer-wise relevance propagation: an overview", 2019, section 10.3: rules that keep the detail of the
scores near them, rules that smooth farther away, a rule for bounded or for flat inputs in the first layer.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from backlit_server.graph.overlays.relevance import (
    CONVOLUTIONS,
    WEIGHTED,
    Table,
    lrp_alpha_beta,
    lrp_box,
    lrp_epsilon,
    lrp_flat,
    lrp_gamma,
    lrp_z_plus,
)
from backlit_server.graph.overlays.shares import Function
from backlit_server.graph.recording.sym import Array
from backlit_server.graph.recording.tape import Tape


@dataclass(frozen=True)
class Settings:
    """What composites leave open. `low` and `high` bound the first layer's input: one number, or one a channel.

    Empty: the smallest and the largest value that each image has.
    """

    epsilon: float
    gamma: float
    low: tuple[float, ...]
    high: tuple[float, ...]


def composed(convolutions: Table, dense: Table, first: Table | None = None) -> Table:
    """The table of dense layers, with the rules of others in convolutions and in the first weighted layers."""
    table = {**dense, **{op: convolutions[op] for op in CONVOLUTIONS}}
    return table if first is None else {**table, **{op: _by_depth(first[op], table[op]) for op in WEIGHTED}}


def _by_depth(first: Function, others: Function) -> Function:
    return lambda g, y, *xs, **named: (first if _is_first(xs) else others)(g, y, *xs, **named)


def _is_first(inputs: tuple[Array, ...]) -> bool:
    """Whether no weighted layer stands before these tensors."""
    tape: Tape = inputs[0].tape
    waiting, seen = [x.name for x in inputs if x is not None], set[str]()
    while waiting:
        name = waiting.pop()
        node = None if name in seen or tape.constant_here(name) else tape.maker(name)
        seen.add(name)
        if node is not None and node.op_type in WEIGHTED:
            return False
        waiting.extend(node.input if node is not None else ())
    return True


# Their names and defaults are those of zennit (Anders et al., 2021).
COMPOSITES: Mapping[str, Callable[[Settings], Table]] = {
    "epsilon-plus": lambda s: composed(lrp_z_plus(), lrp_epsilon(s.epsilon)),
    "epsilon-plus-flat": lambda s: composed(lrp_z_plus(), lrp_epsilon(s.epsilon), lrp_flat()),
    "epsilon-gamma-box": lambda s: composed(lrp_gamma(s.gamma), lrp_epsilon(s.epsilon), lrp_box(s.low, s.high)),
    "epsilon-alpha2-beta1": lambda s: composed(lrp_alpha_beta(2, 1), lrp_epsilon(s.epsilon)),
    "epsilon-alpha2-beta1-flat": lambda s: composed(lrp_alpha_beta(2, 1), lrp_epsilon(s.epsilon), lrp_flat()),
    "excitation-backprop": lambda s: lrp_z_plus(),
    "epsilon": lambda s: lrp_epsilon(s.epsilon),
}
