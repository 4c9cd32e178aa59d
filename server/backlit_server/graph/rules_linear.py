"""Rules of matrix products."""

from collections.abc import Callable
from typing import Any

import numpy as np

from backlit_proto.errors import NotDifferentiable
from backlit_server.graph.sym import Array


def matmul(g: Array, y: Array, a: Array, b: Array) -> tuple[Callable[[], Array], ...]:
    """dA = g B', dB = A' g; a vector on the left is a row, on the right a column."""
    rows = a.op("Unsqueeze", [0]) if a.rank == 1 else a
    columns = b.op("Unsqueeze", [1]) if b.rank == 1 else b
    lost = [axis for axis, operand in ((-2, a), (-1, b)) if operand.rank == 1]
    full = g.op("Unsqueeze", lost) if lost else g

    def left() -> Array:
        made = full @ columns.swapaxes(-1, -2)
        return made.op("Squeeze", [-2]) if a.rank == 1 else made

    def right() -> Array:
        if b.rank == 2 and a.rank > 2:  # one product of tall matrices rather than many, summed
            tall, other = (t.op("Flatten", axis=-1) for t in (a, g))
            return tall.swapaxes(0, 1) @ other
        made = rows.swapaxes(-1, -2) @ full
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

    A letter that only this operand has was summed over: its gradient is the same all along that axis. The axes of an
    ellipsis are named first, aligned at their ends, so that broadcasting is left to the walk.
    """
    terms, result = _named(equation.replace(" ", ""), operands)

    def gradient(k: int) -> Array:
        term, others = terms[k], [*terms[:k], *terms[k + 1 :]]
        if len(set(term)) != len(term):
            raise NotDifferentiable(f"Einsum {equation!r} takes a diagonal: {term!r} names an axis twice")
        reachable = set(result).union(*others)
        kept = "".join(letter for letter in term if letter in reachable)
        rest = [*operands[:k], *operands[k + 1 :]]
        made = g.op("Einsum", *rest, equation=",".join([result, *others]) + "->" + kept)
        lonely = [at for at, letter in enumerate(term) if letter not in reachable]
        return made.op("Unsqueeze", lonely) if lonely else made

    return tuple(lambda k=k: gradient(k) for k in range(len(operands)))


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

    Elements must not be zero.
    """
    return (g * y).op("CumSum", axis, exclusive=exclusive, reverse=1 - reverse) / x


def arithmetic_sequence(g: Array, y: Array, start: Array, limit: Array, delta: Array) -> tuple[Any, ...]:
    """start + k delta."""
    return g.sum(), None, lambda: (g * (y - start) / delta).sum()


def determinant(g: Array, y: Array, x: Array) -> Array:
    """The cofactors, for matrices of up to three rows; larger ones would need an inverse, which ONNX does not have."""
    n = x.shape[-1]
    if n == 2:
        return g[..., None, None] * x[..., ::-1, ::-1] * np.array([[1, -1], [-1, 1]])
    if n != 3:
        raise NotDifferentiable(f"the determinant of matrices of size {n}: only 2 and 3 are known")
    rows = [x[..., [1, 2, 0], :], x[..., [2, 0, 1], :]]
    one, two = ([row[..., [1, 2, 0]], row[..., [2, 0, 1]]] for row in rows)
    return g[..., None, None] * (one[0] * two[1] - one[1] * two[0])
