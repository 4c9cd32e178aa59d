"""How relevance is shared among inputs: in proportion to what they contributed, by an operator's own gradient.

For a linear operator z = L(x), input i gets x_i * L'(R / z)_i: the rows of relevance.py need no more of an operator
than its forward form and its rule in VJPS.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from backlit_server.graph.recording.sym import Array
from backlit_server.graph.vjp import function_of

Function = Callable[..., Any]  # a row
Change = Callable[[Array], Array]  # of weights


def shared(op: str, epsilon: float) -> Function:
    """Every input of a sum gets what it contributed."""

    def rule(g: Array, y: Array, *xs: Array, **attributes: Any) -> Any:
        parts = function_of(op)(g / stable(y, epsilon), y, *xs, **attributes)
        parts = parts if isinstance(parts, tuple) else (parts,)
        return tuple(_times(x, part) for x, part in zip(xs, parts, strict=False))

    return rule


def shared_by_factors(op: str, epsilon: float, factors: int | None = 2) -> Function:
    """The same for a sum of products: factors that vary get equal parts of it (AttnLRP, proposition 3.3)."""
    plain = shared(op, epsilon)

    def rule(g: Array, y: Array, *xs: Array, **attributes: Any) -> Any:
        varying = sum(x is not None and not x.constant for x in xs[:factors])
        whole = plain(g, y, *xs, **attributes)
        if varying < 2:
            return whole
        some = plain(g / varying, y, *xs, **attributes)
        return (*some[:factors], *whole[len(some[:factors]) :])

    return rule


def shared_by_weights(op: str, formula: "Callable[[Array, Weighted], Array]", epsilon: float) -> Function:
    """By a formula on the weights, where they are constant; by factors where they are not."""
    otherwise = shared_by_factors(op, epsilon)

    def rule(g: Array, y: Array, *inputs: Array, **attributes: Any) -> Any:
        varying = [k for k in (0, 1) if not inputs[k].constant]
        if len(varying) != 1:
            return otherwise(g, y, *inputs, **attributes)
        made = formula(g, Weighted(op, y, inputs, varying[0], attributes))
        return tuple(made if k == varying[0] else None for k in range(len(inputs)))

    return rule


@dataclass(frozen=True)
class Weighted:
    """A node that multiplies the input at `place` with constant weights, and may add a bias."""

    op: str
    y: Array
    inputs: tuple[Array, ...]
    place: int
    attributes: Mapping[str, Any]

    @property
    def x(self) -> Array:
        return self.inputs[self.place]

    @property
    def without_bias(self) -> "Weighted":
        return replace(self, inputs=(*self.inputs[:2], *[None] * len(self.inputs[2:])))

    def shared(self, g: Array, terms: Sequence[tuple[Array, Change]], epsilon: float) -> Array:
        """Relevance in proportion to what the terms contribute: parts of x, each with a change of the weights.

        The first term's change is that of the bias too, which keeps its own share.
        """
        runs = [self._changed(x, change, 2 if k else None) for k, (x, change) in enumerate(terms)]
        z = _sum([first.op(self.op, *others, **self.attributes) for first, *others in runs])
        share = g / stable(z, epsilon)
        return _sum([x * self._back(share, z, run) for (x, _), run in zip(terms, runs, strict=True)])

    def _changed(self, x: Array, change: Change, count: int | None) -> list[Array]:
        kept = enumerate(self.inputs[:count])
        return [x if k == self.place else None if t is None else change(t) for k, t in kept]

    def _back(self, share: Array, z: Array, run: Sequence[Array]) -> Array:
        absent = [None] * (len(self.inputs) - len(run))
        return function_of(self.op)(share, z, *run, *absent, **self.attributes)[self.place]()


def stable(z: Array, epsilon: float) -> Array:
    """z, kept away from zero; with epsilon 0 only zero itself is, where nothing contributed and nothing is shared."""
    return z + (np.where(z < 0, z.lift(-epsilon), epsilon) if epsilon else (z == 0))


def _times(x: Array, part: Any) -> Any:
    return None if part is None or x is None else lambda: x * (part() if callable(part) else part)


def _sum(parts: Sequence[Array]) -> Array:
    return sum(parts[1:], parts[0])
