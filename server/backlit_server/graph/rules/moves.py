"""Rules of operators that move elements and change none.

Any of them can be run again on the positions of its input (`moved`): where each element of the output came from says
where its gradient goes. The frequent ones have a shorter way.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import TensorProto

from backlit_server.graph.recording.sym import HALVES, Array, zeros
from backlit_server.graph.rules.crops import bordered, cropped


def moved(op_type: str) -> Callable[..., Array]:
    """A rule for any operator that only moves elements of its first input."""

    def rule(g: Array, y: Array, x: Array, *others: Array, **attributes: Any) -> Array:
        return sent_back(g, x, lambda positions: positions.op(op_type, *others, **attributes))

    return rule


def sent_back(g: Array, x: Array, move: Callable[[Array], Array]) -> Array:
    """g, added up at the places of x where `move` takes the elements from; place 0 is "from nowhere" (padding)."""
    one = x.lift(np.array(1, np.int64))
    end = np.add(x.size_of(range(x.rank)), one)
    source = move(one.op("Range", end, one).shaped_as(x)).reshape(-1)
    return scatter_add(end.reshape(1), source, g.reshape(-1), axis=0)[1:].shaped_as(x)


def scatter_add(dims: Array, indices: Array, g: Array, axis: int) -> Array:
    """g added to zeros of shape `dims` at the indices; in single precision at least, half has no kernel for it."""
    dtype = TensorProto.FLOAT if g.dtype in HALVES else g.dtype
    return zeros(dims, dtype).op("ScatterElements", indices, g.astype(dtype), axis=axis, reduction="add")


def concat(g: Array, y: Array, *parts: Array, axis: int) -> tuple[Array, ...]:
    if len(parts) == 1:
        return (g,)
    lengths = [part.kind.shape[axis] if part.kind.shape else None for part in parts]
    sizes = [part.dims.op("Gather", [axis]) for part in parts]
    known = all(isinstance(length, int) for length in lengths)
    made = g.op("Split", lengths if known else np.concatenate(sizes), outputs=len(parts), axis=axis)
    return tuple(piece.declared(part.kind.shape) for piece, part in zip(made, parts, strict=True))


def joined(g: tuple[Array, ...], y: tuple[Array, ...], axis: int) -> Array:
    """Split: pieces that nobody uses have gradient zero."""
    pieces = [piece if given is None else given for given, piece in zip(g, (t.zeros() for t in y), strict=True)]
    return np.concatenate(pieces, axis=axis) if len(pieces) > 1 else pieces[0]


def transpose(g: Array, y: Array, x: Array, perm: list[int] | None = None) -> Array:
    order = perm or range(x.rank)[::-1]
    return g.transpose([int(axis) for axis in np.argsort(order)])


def slice_(g: Array, y: Array, x: Array, starts: Array, ends: Array, axes: Array, steps: Array) -> Array:
    """Zeros around the gradient; where steps are not 1, or axes not known, the positions are asked."""
    unclear = axes is None and not isinstance(starts.size_of(0), int)
    if unclear or (steps is not None and (steps.value is None or (steps.value != 1).any())):
        return moved("Slice")(g, y, x, starts, ends, axes, steps)
    axes = x.lift(list(range(x.rank)))[: starts.size_of(0)] if axes is None else axes
    return _placed(g, x, starts.astype(np.int64), axes.astype(np.int64))


def gather(g: Array, y: Array, x: Array, indices: Array, axis: int) -> Array:
    """One index: zeros around the gradient; many: the positions are asked."""
    if indices.value is None or indices.value.size != 1:
        return moved("Gather")(g, y, x, indices, axis=axis)
    kept = g.op("Unsqueeze", [axis % x.rank]) if indices.rank == 0 else g
    for extra in range(indices.rank - 1):
        kept = kept.op("Squeeze", [axis % x.rank + extra])
    return _placed(kept, x, indices.astype(np.int64).reshape(1), x.lift([axis]))


def _placed(g: Array, x: Array, starts: Array, axes: Array) -> Array:
    """g in an array of zeros like x, beginning at `starts`, which may count from the end or lie beyond it."""
    lengths, taken = x.dims.op("Gather", axes), g.dims.op("Gather", axes)
    begin = np.where(starts < 0, starts + lengths, starts).clip(0)
    begin = np.minimum(begin, lengths)
    pads = np.concatenate([begin, lengths - begin - taken])
    return bordered(g, pads, axes).declared(x.kind.shape)


def pad(g: Array, y: Array, x: Array, pads: Array, value: Array, axes: Array, mode: str) -> tuple[Any, ...]:
    """A constant border is cut off again; the value's gradient is what lies on the border."""
    if mode != "constant":
        return moved("Pad")(g, y, x, pads, None, axes, mode=mode), None, None
    return (
        lambda: _without_border(g, x, pads, axes).declared(x.kind.shape),
        None,
        lambda: (g * x.zeros().op("Pad", pads, 1, axes)).sum(),
    )


def _without_border(g: Array, x: Array, pads: Array, axes: Array) -> Array:
    """What a Pad had added, cut off again."""
    if axes is None and pads.value is not None and x.rank > 2:
        begin, end = pads.value.reshape(2, -1)
        if pads.value.min() >= 0 and not begin[:2].any() and not end[:2].any():
            return cropped(g, begin[2:], end[2:])
    return bordered(g, -pads, axes)


def tile(g: Array, y: Array, x: Array, repeats: Array) -> Array:
    """Every axis split into (repeats, length), and summed over the repeats."""
    pairs = np.concatenate([t.op("Unsqueeze", [1]) for t in (repeats, x.dims)], axis=1)
    return g.reshape(pairs.reshape(-1)).sum(range(0, 2 * x.rank, 2)).declared(x.shape)


def depth_to_space(g: Array, y: Array, x: Array, blocksize: int, mode: str) -> Array:
    """The other way; SpaceToDepth puts the block first (DCR), for CRD it has to follow the channels."""
    deep = g.op("SpaceToDepth", blocksize=blocksize)
    if mode == "DCR":
        return deep
    blocks = deep.reshape(np.concatenate([deep.dims[:1], deep.lift([blocksize**2, -1]), deep.dims[2:]]))
    return blocks.swapaxes(1, 2).shaped_as(x)
