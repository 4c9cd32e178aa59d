"""RNN, LSTM and GRU as Scans over their equations (cells.py), one for each direction.

The products with the weights of the input stand before the Scan: there the whole sequence is multiplied at once.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from onnx import TensorProto

from backlit_server.graph.recording.scanning import Turn, scanned
from backlit_server.graph.recording.sym import Array, zeros
from backlit_server.graph.rules import cells

BACKWARD: Mapping[str, tuple[int, ...]] = {"forward": (0,), "reverse": (1,), "bidirectional": (0, 1)}

RANKS: Mapping[str, int] = {
    **dict.fromkeys(("X", "W", "R", "initial_h", "initial_c"), 3),
    **dict.fromkeys(("B", "P"), 2),
    "sequence_lens": 1,
}


@dataclass(frozen=True)
class Network:
    """`groups`: how many gates share each product with h; `functions`: the default ones, and whether clip bounds them.

    That of the cell's own value, k(c'), ONNX Runtime leaves as it is.
    """

    cell: Callable[..., Sequence[Array]]
    groups: tuple[int, ...]
    functions: tuple[tuple[str, bool], ...]


def rnn(x: Array, w: Array, r: Array, b: Array, lengths: Array, h: Array, **how: Any) -> tuple[Array, ...]:
    network = Network(cells.rnn, (1,), (("tanh", True),))
    return _recurrent(network, x, (w, r, b, None), lengths, (h,), **how)


def lstm(
    x: Array, w: Array, r: Array, b: Array, lengths: Array, h: Array, c: Array, p: Array, **how: Any
) -> tuple[Array, ...]:
    cell = cells.coupled_lstm if how.pop("input_forget", 0) else cells.lstm
    network = Network(cell, (4,), (("sigmoid", True), ("tanh", True), ("tanh", False)))
    return _recurrent(network, x, (w, r, b, p), lengths, (h, c), **how)


def gru(x: Array, w: Array, r: Array, b: Array, lengths: Array, h: Array, **how: Any) -> tuple[Array, ...]:
    cell = cells.gru_reset_after if how.pop("linear_before_reset", 0) else cells.gru
    return _recurrent(
        Network(cell, (2, 1), (("sigmoid", True), ("tanh", True))), x, (w, r, b, None), lengths, (h,), **how
    )


def _recurrent(
    network: Network,
    x: Array,
    weights: Sequence[Array],
    lengths: Array,
    firsts: Sequence[Array],
    *,
    direction: str = "forward",
    activations: Sequence[str] = (),
    activation_alpha: Sequence[float] = (),
    activation_beta: Sequence[float] = (),
    clip: float | None = None,
    layout: int = 0,
    hidden_size: int = 0,
) -> tuple[Array, ...]:
    """Y, then the last value of each state, as the operators give them."""
    if layout:  # the batch comes first
        x, firsts = x.swapaxes(0, 1), [None if state is None else state.swapaxes(0, 1) for state in firsts]
    ways, count = BACKWARD[direction], len(network.functions)
    default, bounded = zip(*network.functions * len(ways), strict=True)
    clips = [clip if bound else None for bound in bounded]
    functions = cells.functions_of((activations or default)[: len(clips)], activation_alpha, activation_beta, clips)
    lasts = []
    for k, backward in enumerate(ways):
        own = functions[count * k : count * (k + 1)]
        part, start = ([None if t is None else t[k] for t in of] for of in (weights, firsts))
        last, ys = _one_way(network, own, x, part, lengths, start, backward)
        lasts.append([ys[:, None], *(state[None] for state in last)])
    y, *last = (_joined(parts, int(k == 0)) for k, parts in enumerate(zip(*lasts, strict=True)))
    return (y.transpose(2, 0, 1, 3), *(state.swapaxes(0, 1) for state in last)) if layout else (y, *last)


def _one_way(
    network: Network,
    functions: Sequence[cells.Function],
    x: Array,
    weights: Sequence[Array],
    lengths: Array,
    firsts: Sequence[Array],
    backward: int,
) -> tuple[list[Array], Array]:
    """The last states of one direction, and all h."""
    w, r, b, peepholes = weights
    rt, size = r.swapaxes(0, 1), r.shape[-1]
    ends = [size * end for end in np.cumsum((0, *network.groups)).tolist()]
    spans = [slice(*span) for span in pairwise(ends)]
    gates = x @ w.swapaxes(0, 1) if b is None else x @ w.swapaxes(0, 1) + b[: ends[-1]]
    biases = [None if b is None else b[ends[-1] :][span] for span in spans]
    dims: Array = np.concatenate([x.dims[1:2], x.lift([size])])
    states = [zeros(dims, x.dtype) if state is None else state for state in firsts]
    states = [state.declared((x.shape[1], size)) for state in states]
    turn, captured = _turn(network, functions), [*(rt[:, span] for span in spans), *biases, peepholes]
    if lengths is None:
        return scanned(turn, states, [gates], captured, backward)
    turned = _turned(gates, lengths) if backward else gates
    last, ys = scanned(turn, states, [turned, _running(x, lengths)], captured, 0)
    return last, _turned(ys, lengths) if backward else ys


def _turn(network: Network, functions: Sequence[cells.Function]) -> Turn:
    """One step in time: new states, and h; sequences that have ended keep their states and tell zeros."""
    count = len(network.groups)

    def turn(states: Sequence[Array], pieces: Sequence[Array], around: Sequence[Array]) -> tuple[list[Array], Array]:
        *parts, peepholes = around
        products = [_product(*pair) for pair in zip(parts[:count], parts[count:], strict=True)]
        new = list(network.cell(functions, pieces[0], states, products, peepholes))
        if len(pieces) == 1:
            return new, new[0]
        running = pieces[1]
        return [np.where(running, t, old) for t, old in zip(new, states, strict=True)], np.where(running, new[0], 0)

    return turn


def _product(rt: Array, b: Array) -> cells.Function:
    return lambda h: h @ rt if b is None else h @ rt + b


def _turned(t: Array, lengths: Array) -> Array:
    """Each sequence of the batch from its own end."""
    return t.op("ReverseSequence", lengths.astype(TensorProto.INT64), time_axis=0, batch_axis=1)


def _running(x: Array, lengths: Array) -> Array:
    """(time, batch, 1): which sequences have not ended."""
    start = x.lift(np.array(0, np.int64))
    steps = start.op("Range", start + x.size_of(0), np.array(1, np.int64))
    return (steps[:, None] < lengths.astype(TensorProto.INT64)[None])[:, :, None].declared((*x.shape[:2], 1))


def _joined(parts: Sequence[Array], axis: int) -> Array:
    return np.concatenate(parts, axis=axis) if len(parts) > 1 else parts[0]
