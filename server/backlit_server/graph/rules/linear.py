"""Rules of matrix products."""

from collections.abc import Callable
from typing import Any

import numpy as np

from backlit_server.graph.recording.ranges import identity
from backlit_server.graph.recording.sym import Array


def matmul(g: Array, y: Array, a: Array, b: Array) -> tuple[Callable[[], Array], ...]:
    """dA = g B', dB = A' g; a vector on the left is a row, on the right a column."""

    def full() -> Array:
        lost = [axis for axis, operand in ((-2, a), (-1, b)) if operand.rank == 1]
        return g.op("Unsqueeze", lost) if lost else g

    def left() -> Array:
        if b.rank == 2:  # whatever the rank of a, which need not be known
            return g @ b.swapaxes(0, 1)
        columns = b.op("Unsqueeze", [1]) if b.rank == 1 else b
        made = full() @ columns.swapaxes(-1, -2)
        return made.op("Squeeze", [-2]) if a.rank == 1 else made

    def right() -> Array:
        if b.rank == 2 and (a.kind.shape is None or a.rank > 2):  # one product of tall matrices, not a sum of many
            tall, other = (t.op("Flatten", axis=-1) for t in (a, g))
            return tall.transpose(1, 0) @ other
        rows = a.op("Unsqueeze", [0]) if a.rank == 1 else a
        made = rows.swapaxes(-1, -2) @ full()
        return made.op("Squeeze", [-1]) if b.rank == 1 else made

    return left, right


def gemm(g: Array, y: Array, a: Array, b: Array, c: Array, **attributes: float) -> tuple[Callable[[], Array], ...]:
    """alpha A' B' + beta C, where A' and B' may be transposed."""
    alpha, beta, ta, tb = (attributes[name] for name in ("alpha", "beta", "transA", "transB"))

    def left() -> Array:
        if ta:
            return b.op("Gemm", g, alpha=alpha, transA=tb, transB=1)
        return g.op("Gemm", b, alpha=alpha, transB=1 - tb)

    def right() -> Array:
        if tb:
            return g.op("Gemm", a, alpha=alpha, transA=1, transB=ta)
        return a.op("Gemm", g, alpha=alpha, transA=1 - ta)

    return left, right, lambda: g if beta == 1 else g * beta


def einsum(g: Array, y: Array, *operands: Array, equation: str) -> tuple[Callable[[], Array], ...]:
    """The same sum with the result's term and the operand's exchanged.

    A letter that only this operand has was summed over: its gradient is the same all along that axis. A letter that it
    has twice takes the diagonal: its gradient lies there. The axes of an ellipsis are named first, aligned at their
    ends, so that broadcasting is left to the walk.
    """
    terms, result = _named(equation.replace(" ", ""), operands)

    def gradient(k: int) -> Array:
        term, others = terms[k], [*terms[:k], *terms[k + 1 :]]
        reachable = set(result).union(*others)
        first = [at for at, letter in enumerate(term) if letter in reachable and term.index(letter) == at]
        rest = [*operands[:k], *operands[k + 1 :]]
        equation = ",".join([result, *others]) + "->" + "".join(term[at] for at in first)
        made = g.op("Einsum", *rest, equation=equation)
        others_of_term = [at for at in range(len(term)) if at not in first]
        made = made.op("Unsqueeze", others_of_term) if others_of_term else made
        for at, letter in enumerate(term):
            if term.index(letter) != at:
                made = made * _diagonal(operands[k], term.index(letter), at)
        return made

    return tuple(lambda k=k: gradient(k) for k in range(len(operands)))


def _diagonal(x: Array, a: int, b: int) -> Array:
    """1 where the places along two axes of x are the same, 0 elsewhere."""
    one = identity(x.dims[a : a + 1], x.dims[b : b + 1], x.dtype)
    return one.op("Unsqueeze", [axis for axis in range(x.rank) if axis not in (a, b)]) if x.rank > 2 else one


def _named(equation: str, operands: tuple[Array, ...]) -> tuple[list[str], str]:
    """The terms of the operands and of the result, with the ellipsis and the implied result spelled out."""
    left, arrow, result = equation.partition("->")
    terms = left.split(",")
    free = [chr(c) for c in range(ord("A"), ord("Z") + 1) if chr(c) not in equation]
    widths = [x.rank - len(t.replace("...", "")) if "..." in t else 0 for t, x in zip(terms, operands, strict=True)]
    dots = "".join(free[: max(widths)])
    if not arrow:
        once = sorted(letter for letter in set(left) - set(".,") if left.count(letter) == 1)
        result = "..." * ("..." in left) + "".join(once)
    spelled = [t.replace("...", dots[len(dots) - w :]) for t, w in zip(terms, widths, strict=True)]
    return spelled, result.replace("...", dots)


def cumulative_sum(g: Array, y: Array, x: Array, axis: Array, exclusive: int, reverse: int) -> Array:
    """The same from the other end."""
    return g.op("CumSum", axis, exclusive=exclusive, reverse=1 - reverse)


def cumulative_product(g: Array, y: Array, x: Array, axis: Array, exclusive: int, reverse: int) -> Array:
    """Every product that an element is a factor of, over that element: the sum of those from the element on.

    What lies behind the first zero has no gradient, and the zero that of the products without it.
    """

    def summed(products: Array) -> Array:
        return (g * products).op("CumSum", axis, exclusive=exclusive, reverse=1 - reverse)

    zero = x == 0
    first = zero & (zero.astype(g.dtype).op("CumSum", axis, reverse=reverse) == 1)
    without: Array = np.where(first, 1, x)
    rest = without.op("CumProd", axis, exclusive=exclusive, reverse=reverse)
    return np.where(first, summed(rest), np.where(zero, 0, summed(y) / np.where(zero, 1, x)))


def arithmetic_sequence(g: Array, y: Array, start: Array, limit: Array, delta: Array) -> tuple[Any, ...]:
    """start + k delta."""
    return g.sum(), None, lambda: (g * (y - start) / delta).sum()


def determinant(g: Array, y: Array, x: Array) -> Array:
    """The cofactors: row i and column j have that of the matrix whose row i is replaced by row j of the identity."""
    size = x.dims[-1:]
    one = identity(size, size, x.dtype)
    replaced: Array = np.where(one[:, None, :, None] == 1, one[None, :, None, :], x[..., None, None, :, :])
    return g[..., None, None] * replaced.op("Det")
