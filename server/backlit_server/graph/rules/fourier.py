"""Rules of Fourier transforms, linear maps whose transposes are transforms again."""

import numpy as np
from onnx import TensorProto

from backlit_proto.errors import NotDifferentiable
from backlit_server.graph.recording.ranges import counted
from backlit_server.graph.recording.sym import Array


def dft(g: Array, y: Array, x: Array, length: Array, axis: Array, *, inverse: int, onesided: int) -> Array:
    """The transform in the other direction, without its factor 1 / length, cut or filled to the length of x.

    Half a spectrum (onesided) is a whole one whose other half nobody reads: DFT fills it with zeros. Where half a
    spectrum is read (inverse, onesided), it stands for a whole one, so all but its ends count twice.
    """
    along = x.lift(np.array(-2)) if axis is None else axis.astype(TensorProto.INT64).reshape([])
    before = x.dims.op("Gather", along)
    usual = (before - 1) * 2 if inverse and onesided else before
    n = usual if length is None else length.astype(TensorProto.INT64).reshape([])
    made = g.op("DFT", n, along, inverse=1 - inverse, onesided=inverse and onesided)
    made = made / n.astype(g.dtype) if inverse else made * n.astype(g.dtype)
    if inverse and onesided:
        _check_half(x, n, along)
        k = (made.zeros() + 1).op("CumSum", along, exclusive=1)
        made = np.where((k == 0) | (2 * k == n.astype(g.dtype)), made, 2 * made)
    after = made.dims.op("Gather", along)
    rest = np.concatenate([x.lift([0]), (before - after).reshape([1])])
    fitting = made.op("Pad", rest, None, along.reshape([1]))
    return fitting.op("Slice", [0], x.dims[-1:], [-1]).declared(x.shape)  # of a real signal, the real part


def _check_half(x: Array, n: Array, axis: Array) -> None:
    if n.value is None or axis.value is None:
        return
    have, want = x.shape[int(axis.value)], int(n.value) // 2 + 1
    if isinstance(have, int) and have != want:
        raise NotDifferentiable(
            f"half a spectrum of {have} makes a signal of {n.value}, which ONNX Runtime and the specification do "
            f"differently; of {want} it is clear"
        )


def stft(signal: Array, step: Array, window: Array, length: Array, *, onesided: int) -> Array:
    """The definition: a DFT of every frame of a signal (batch, length, 1 or 2)."""
    whole = signal.size_of(1)
    n = whole if length is None else length.astype(TensorProto.INT64).reshape([])
    n = n if window is None else window.size_of(0)
    step = step.astype(TensorProto.INT64).reshape([])
    frames = counted(signal, (whole - n) // step + 1)
    cut = signal.op("Gather", (frames * step)[:, None] + counted(signal, n), axis=1)
    weighed = cut if window is None else cut * window[:, None]
    return weighed.op("DFT", None, np.array(2), onesided=onesided)
