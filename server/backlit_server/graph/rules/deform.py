"""The definition of a convolution that reads beside its places."""

from typing import Any

import numpy as np

from backlit_server.graph.recording.ranges import counted
from backlit_server.graph.recording.sym import Array
from backlit_server.graph.rules.pixels import around, each_image, sampled
from backlit_server.graph.rules.windows import kernel_of


def deform_conv(
    x: Array,
    w: Array,
    offset: Array,
    bias: Array,
    mask: Array,
    *,
    group: int,
    offset_group: int,
    kernel_shape: Any = None,
    **attributes: Any,
) -> Array:
    """A convolution that reads beside its places (Dai et al., Deformable Convolutional Networks, 2017)."""
    kernel = kernel_of(w, kernel_shape)
    channels, windows = w.size_of(1), offset.size_of(range(2, offset.rank))
    shared = x.reshape(_shape(x, -1, channels * group // offset_group, x.dims[2:]))
    columns = _columns(shared, _places(offset, kernel, **attributes), offset, mask)
    columns = columns.reshape(_shape(x, -1, group, channels * int(np.prod(kernel)), windows))
    rows = w.reshape(_shape(x, group, -1, channels * int(np.prod(kernel))))
    made = (rows @ columns).reshape(_shape(x, x.dims[:1], w.dims[:1], offset.dims[2:]))
    return made if bias is None else made + bias.reshape([-1] + [1] * len(kernel))


def _columns(x: Array, places: Array, offset: Array, mask: Array) -> Array:
    """What every element of the kernel reads in every window: (images, channels, kernel * windows).

    Channels that share offsets (kernel, axes, windows) and a mask (kernel, windows) are an image of their own.
    """
    beside = offset.reshape(_shape(x, -1, places.dims))
    flat = (places + beside).swapaxes(1, 2).op("Reshape", [0, 0, -1])
    axes = [around(flat[:, k], x.size_of(2 + k), "linear", "zeros") for k in range(x.rank - 2)]
    columns = sampled(x, each_image(x), axes).swapaxes(1, 2)
    return columns if mask is None else columns * mask.reshape(_shape(x, -1, 1, flat.dims[2:]))


def _places(offset: Array, kernel: list[int], *, strides: Any = None, pads: Any = None, dilations: Any = None) -> Array:
    """Where a convolution reads: (kernel, axes, windows)."""
    n = len(kernel)
    strides, dilations, pads = strides or [1] * n, dilations or [1] * n, pads or [0] * 2 * n
    inner = np.indices(kernel).reshape(n, -1) * np.array(dilations)[:, None] - np.array(pads[:n])[:, None]
    starts = []
    for k in range(n):
        along = counted(offset, offset.size_of(2 + k)) * strides[k]
        spread = along.reshape([-1 if j == k else 1 for j in range(n)]).op("Expand", offset.dims[2:])
        starts.append(spread.reshape([1, 1, -1]))
    return (np.concatenate(starts, axis=1) + inner.T[:, :, None]).astype(offset.dtype)


def _shape(like: Array, *parts: Any) -> Array:
    """A shape put together of sizes and of parts of shapes."""
    return np.concatenate([like.lift([part]) if isinstance(part, int) else part.reshape(-1) for part in parts])
