"""Sliding windows, as convolutions and pools share them: where they begin, what they cover, and the way back.

Sizes are arrays of numbers where they are known while the graph is built, else tensors: the same lines serve both.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import helper

from backlit_proto.errors import NotDifferentiable
from backlit_server.graph.recording.sym import Array


@dataclass(frozen=True)
class Windows:
    """Windows over the spatial axes of `wide`, one for each element of a narrower tensor.

    `begin` and `after` are the padding before and behind wide. `end` is how far the last window reaches beyond wide's
    last element: as far as `after`, less where strides leave a rest (negative where the last elements are in no
    window), more where ceil_mode lets a window hang over.
    """

    wide: Array
    kernel: np.ndarray
    strides: np.ndarray
    dilations: np.ndarray
    begin: Any
    after: Any
    end: Any

    @property
    def reach(self) -> np.ndarray:
        """From the first to behind the last element that a window looks at."""
        return self.dilations * (self.kernel - 1) + 1

    @property
    def steps(self) -> dict[str, list[int]]:
        """The attributes of a convolution that moves as these windows do."""
        return {"strides": self.strides.tolist(), "dilations": self.dilations.tolist()}

    @property
    def known(self) -> bool:
        return isinstance(self.begin, np.ndarray) and isinstance(self.end, np.ndarray)

    def covered(self, t: Array) -> Array:
        """t, as wide as `wide`, with zeros added or elements dropped: exactly what the windows cover."""
        return bordered(t, self.begin, self.end)

    def uncovered(self, t: Array) -> Array:
        """The other way: what covers all windows, cut or filled to the size of `wide`."""
        return bordered(t, -self.begin, -self.end)

    def spread(self, t: Array) -> Array:
        """One number a window, given to every element the window covers; overlaps add up."""
        single = self.known and not self.begin.any() and not self.end.any() and t.shape[2:] == (1,) * len(self.kernel)
        if single:  # one window over everything: left to broadcasting
            return t
        if (self.strides == self.kernel).all() and (self.dilations == 1).all():
            return self.uncovered(_repeated(t, self.kernel))
        one = np.ones((1, 1, *self.kernel), helper.tensor_dtype_to_np_dtype(t.dtype))
        planes = t.reshape(np.concatenate([t.lift([-1, 1]), t.dims[2:]]))
        return self.uncovered(planes.op("ConvTranspose", one, **self.steps)).shaped_as(self.wide)


def windows(
    wide: Array, narrow: Array, kernel: Sequence[int], *, auto_pad: str, **attributes: Sequence[int] | None
) -> Windows:
    """The windows of an operator from `wide` to `narrow`, from its attributes pads, strides, dilations, auto_pad."""
    n = len(kernel)
    strides, dilations = (np.array(attributes[name] or [1] * n) for name in ("strides", "dilations"))
    reach = dilations * (np.array(kernel) - 1) + 1
    if auto_pad in ROUNDING:
        total = _same_padding(wide, strides, reach)
        begin = (total + ROUNDING[auto_pad]) // 2
        after = total - begin
    else:
        pads = np.array((attributes["pads"] if auto_pad == "NOTSET" else None) or [0] * 2 * n)
        begin, after = pads[:n], pads[n:]
    regular = (strides == 1).all()
    end = after if regular else (sizes(narrow) - 1) * strides + reach - sizes(wide) - begin
    return Windows(wide, np.array(kernel), strides, dilations, begin, after, end)


ROUNDING = {"SAME_UPPER": 0, "SAME_LOWER": 1}  # where the odd element of SAME padding goes: behind, or before


def kernel_of(w: Array, kernel_shape: list[int] | None) -> list[int]:
    """The size of a kernel by its weights (outputs, inputs, height, ...), else as the node says it."""
    seen = [d for d in w.shape[2:] if isinstance(d, int)]
    if len(seen) == w.rank - 2:
        return seen
    if kernel_shape is None:
        raise NotDifferentiable("the size of its kernel is known neither from its weights nor from kernel_shape")
    return kernel_shape


def sizes(x: Array) -> Any:
    """The spatial sizes of (batch, channels, ...)."""
    known = [d for d in x.shape[2:] if isinstance(d, int)]
    return np.array(known, np.int64) if len(known) == x.rank - 2 else x.dims[2:]


def bordered(t: Array, begin: Any, end: Any, value: float | None = None) -> Array:
    """t with a border around its spatial axes; a negative border cuts off."""
    if isinstance(begin, np.ndarray) and isinstance(end, np.ndarray):
        known = np.concatenate([begin, end]).tolist()
        return t.op("Pad", known, value, list(range(2, t.rank))) if any(known) else t
    return t.op("Pad", np.concatenate([t.lift(begin), t.lift(end)]), value, list(range(2, t.rank)))


def _same_padding(wide: Array, strides: np.ndarray, reach: np.ndarray) -> Any:
    """What SAME adds on both sides together: as many windows as strides fit into the size."""
    if (strides == 1).all():
        return reach - 1
    size = sizes(wide)
    return np.maximum(((size + strides - 1) // strides - 1) * strides + reach - size, 0)


def _repeated(t: Array, times: np.ndarray) -> Array:
    """Every element of the spatial axes, repeated along each of them."""
    n = len(times)
    apart = t.op("Unsqueeze", [2 * k + 3 for k in range(n)])
    many = apart.op("Expand", [1, 1, *(int(s) for r in times for s in (1, r))])
    return many.reshape(np.concatenate([t.dims[:2], sizes(t) * times]))
