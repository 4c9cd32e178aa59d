"""Rules of operators that put elements at places told by indices."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import TensorProto

from backlit_server.graph.recording.sym import HALVES, Array, zeros
from backlit_server.graph.rules.moves import scatter_add, sent_back


@dataclass(frozen=True)
class Places:
    """The places that indices name in an array like x: how to read them, to put values there, and to add values."""

    taken: Callable[[Array], Array]
    put: Callable[[Array, Array, str], Array]
    added: Callable[[Array, Array], Array]


def scatter_elements(g: Array, y: Array, x: Array, indices: Array, updates: Array, *, axis: int, reduction: str) -> Any:
    def taken(t: Array) -> Array:
        return t.op("GatherElements", indices, axis=axis)

    def put(t: Array, values: Array, how: str) -> Array:
        return t.op("ScatterElements", indices, values, axis=axis, reduction=how)

    return REDUCTIONS[reduction](g, y, x, updates, Places(taken, put, lambda t, values: put(t, values, "add")))


def scatter_nd(g: Array, y: Array, x: Array, indices: Array, updates: Array, *, reduction: str) -> Any:
    """Nothing is added with ScatterND: threads of onnxruntime add to one place at once, and lose sums."""

    def taken(t: Array) -> Array:
        return t.op("GatherND", indices)

    def put(t: Array, values: Array, how: str) -> Array:
        return t.op("ScatterND", indices, values, reduction=how)

    return REDUCTIONS[reduction](
        g, y, x, updates, Places(taken, put, lambda t, values: t + sent_back(values, t, taken))
    )


def _replaced(g: Array, y: Array, x: Array, u: Array, at: Places) -> Any:
    return lambda: at.put(g, u.zeros(), "none"), None, lambda: at.taken(g)


def _added(g: Array, y: Array, x: Array, u: Array, at: Places) -> Any:
    return g, None, lambda: at.taken(g)


def _multiplied(g: Array, y: Array, x: Array, u: Array, at: Places) -> Any:
    """An update's factor is the product of all others at its place, also where one of them is zero."""

    def of_updates() -> Array:
        zero = u == 0
        zeros_there = at.taken(at.added(x.zeros(), zero.astype(u.dtype)))
        factors = np.where(zero, 1, u)
        others = at.taken(g * at.put(x, factors, "mul")) / factors
        return np.where(zeros_there == zero.astype(u.dtype), others, 0)

    return lambda: g * at.put(x.zeros() + 1, u, "mul"), None, of_updates


def _largest(g: Array, y: Array, x: Array, u: Array, at: Places) -> Any:
    """Max and min: those that are equal to the result share the gradient."""
    dtype = TensorProto.FLOAT if g.dtype in HALVES else g.dtype  # half has no kernel for sums
    kept = (x == y).astype(dtype)
    won = (at.taken(y) == u).astype(dtype)
    share = g / at.added(kept, won)
    return share * kept, None, at.taken(share) * won


REDUCTIONS: Mapping[str, Callable[..., Any]] = {
    "none": _replaced,
    "add": _added,
    "mul": _multiplied,
    "max": _largest,
    "min": _largest,
}


def tensor_scatter(g: Array, y: Array, past: Array, update: Array, start: Array, **attributes: Any) -> Any:
    """What was overwritten has no gradient; the update's lies where it was written."""

    def written(positions: Array) -> Array:
        return zeros(past.dims, TensorProto.INT64).op("TensorScatter", positions, start, **attributes)

    return (
        lambda: g.op("TensorScatter", update.zeros(), start, **attributes),
        lambda: sent_back(g, update, written),
    )


def one_hot(g: Array, y: Array, indices: Array, depth: Array, values: Array, *, axis: int) -> Any:
    """values is (off, on): each gets what its places got."""
    hot = indices.op("OneHot", depth, g.lift(np.array([0, 1])).astype(g.dtype), axis=axis)
    on = g * hot
    return None, None, np.concatenate([(g - on).sum().reshape(1), on.sum().reshape(1)])


def max_unpool(g: Array, y: Array, x: Array, indices: Array, shape: Array, **_: Any) -> Array:
    """Indices count over the whole of the smallest result that fits, or of the wanted shape."""
    return g.reshape(-1).op("Gather", indices)


def unique(g: Any, y: Any, x: Array, *, axis: int | None = None, sorted: int) -> Array:  # noqa: A002  (ONNX's name)
    """To the first of equals, where the operator took it from."""
    first = x.op("Unique", outputs=2, axis=axis, sorted=sorted)[1]
    if axis is None:
        count = x.lift(np.array(0)) + x.size_of(range(x.rank))
        return scatter_add(count.reshape(1), first, g[0].reshape(-1), axis=0).shaped_as(x)
    shape = [-1 if k == axis % x.rank else 1 for k in range(x.rank)]
    return scatter_add(x.dims, first.reshape(shape).op("Expand", g[0].dims), g[0], axis=axis)
