"""Broadcasting undone, once and for all rules: a gradient takes the shape and type of the tensor it belongs to."""

import numpy as np
from onnx import TensorProto

from backlit_server.graph.recording.sym import FLOATS, Array, Sym


def fitted(g: Sym, x: Sym) -> Sym:
    """g summed over what broadcasting x had added, repeated where a rule left it smaller than x, in x's type.

    Shapes are compared while the graph is built; only dimensions of which nothing is known are compared in every run.
    """
    g = g.astype(x.dtype) if x.dtype in FLOATS else g
    if g.kind.shape is None or x.kind.shape is None:
        return _fitted_at_run_time(g, x)
    rank = max(g.rank, x.rank)
    pairs = list(zip(_padded(g, rank), _padded(x, rank), strict=True))
    if any(have != want and 1 not in (have, want) for have, want in pairs):
        return _fitted_at_run_time(g, x)
    added = [k for k, (have, want) in enumerate(pairs) if want == 1 and have != 1]
    g = g.sum(added, keepdims=True) if added else g
    g = g.shaped_as(x) if g.rank > x.rank else g
    return g if g.shape == x.shape else g.op("Expand", x.dims).declared(x.shape)


def _padded(x: Sym, rank: int) -> tuple[int | str, ...]:
    return (1,) * (rank - x.rank) + x.shape


def _fitted_at_run_time(g: Array, x: Array) -> Sym:
    wide = g.op("Expand", x.dims)
    have, want = wide.dims, x.dims
    missing = np.maximum(have.op("Size") - want.op("Size"), 0)
    padded = np.concatenate([have.lift([1]).op("Expand", missing.op("Unsqueeze", [0])), want])
    added = (padded != have).astype(TensorProto.INT64).op("NonZero").op("Squeeze", [0])
    return wide.op("ReduceSum", added, keepdims=1, noop_with_empty_axes=1).shaped_as(x)
