"""Rules of reductions: each says what it does at one place; which axes, kept or not, is undone here."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from backlit_server.graph.recording.sym import Array


@dataclass(frozen=True)
class Over:
    """The axes a reduction of x went over: numbers in the graph or a tensor known only when it runs."""

    x: Array
    axes: Array
    noop_with_empty_axes: int

    @property
    def known(self) -> list[int] | None:
        """The axes, empty if there is nothing to reduce; None if only the run will tell."""
        given = [] if self.axes is None else self.axes.value
        if given is None:
            return None
        every = not len(given) and not self.noop_with_empty_axes
        return list(range(self.x.rank)) if every else [int(axis) for axis in given]

    @property
    def count(self) -> Array:
        """How many elements one result is made of."""
        known = self.known
        return self.x.op("Size") / self.sum(self.x).op("Size") if known is None else self.x.size_of(known)

    def sum(self, t: Array) -> Array:
        """t summed over the same axes, which are kept with length 1."""
        return t.op("ReduceSum", self.axes, keepdims=1, noop_with_empty_axes=self.noop_with_empty_axes)

    def restored(self, t: Array) -> Array:
        """The result of the reduction with the axes it had lost."""
        known = self.known
        if known is None:
            return t.shaped_as(self.sum(self.x))
        return t.op("Unsqueeze", known) if known else t


def reduction(formula: Callable[[Array, Array, Array, Over], Array]) -> Callable[..., Array]:
    """The rule whose gradient is formula(g, y, x, over), where g and y have the reduced axes back with length 1."""

    def rule(g: Array, y: Array, x: Array, axes: Array, keepdims: int, noop_with_empty_axes: int) -> Array:
        over = Over(x, axes, noop_with_empty_axes)
        return formula(g, y, x, over) if keepdims else formula(over.restored(g), over.restored(y), x, over)

    return rule


def shared(g: Array, y: Array, x: Array, over: Over) -> Array:
    """Max and Min: the places that are equal to the result share the gradient."""
    chosen = (x == y).astype(g.dtype)
    return g * chosen / over.sum(chosen)


def product(g: Array, y: Array, x: Array, over: Over) -> Array:
    """The product of all others, also where one of them is zero."""
    zero = x == 0
    zeros = over.sum(zero.astype(g.dtype))
    factors = np.where(zero, 1, x)
    rest = g * _product(factors, over)
    return np.where(zeros == 0, rest / factors, np.where(zero & (zeros == 1), rest, 0))


def _product(t: Array, over: Over) -> Array:
    return t.op("ReduceProd", over.axes, keepdims=1, noop_with_empty_axes=over.noop_with_empty_axes)
