"""From the raw map to what was asked for: relu, resize, normalize, element type, in this order."""

from dataclasses import dataclass

import numpy as np

from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import BadQuestion
from backlit_proto.tensors import DTYPES
from backlit_server.methods.scaling import normalize, resize, spread

LARGEST_SIDE = 8192
FLOAT32 = np.dtype(np.float32)


@dataclass(frozen=True)
class Rendering:
    """How a heatmap is finished; `size` is "layer", "input" or (height, width).

    Where it is normalized: `each_channel` by itself, or from what `value_range` says rather than from its extremes.
    """

    size: str | tuple[int, int] = "layer"
    relu: bool = False
    normalize: bool = False
    dtype: np.dtype = FLOAT32
    each_channel: bool = False
    value_range: tuple[float, float] | None = None


@dataclass(frozen=True)
class Rendered:
    """Finished heatmaps, one a row, and the steps that made them, in order."""

    heatmaps: np.ndarray
    steps: tuple[str, ...]


SIZES = {
    pb.Rendering.SIZE_UNSPECIFIED: "layer",
    pb.Rendering.SIZE_LAYER: "layer",
    pb.Rendering.SIZE_INPUT: "input",
}
ELEMENTS = (pb.DATA_TYPE_FLOAT32, pb.DATA_TYPE_FLOAT16, pb.DATA_TYPE_UINT8)


def read_rendering(message: pb.Rendering) -> Rendering:
    """The rendering of a question, checked."""
    data_type = message.data_type or pb.DATA_TYPE_FLOAT32
    if data_type not in ELEMENTS:
        valid = ", ".join(str(DTYPES[e]) for e in ELEMENTS)
        raise BadQuestion(f"heatmaps come as {valid}, not as {pb.DataType.Name(data_type)}")
    if data_type == pb.DATA_TYPE_UINT8 and not message.normalize:
        raise BadQuestion("a uint8 heatmap spans 0 to 255: ask for normalize as well, or for float32")
    size = SIZES.get(message.size, (message.height, message.width))
    if isinstance(size, tuple) and not all(0 < side <= LARGEST_SIDE for side in size):
        raise BadQuestion(f"a heatmap of {size[0]} x {size[1]}: both sides must lie between 1 and {LARGEST_SIDE}")
    value_range = _value_range(message) if message.HasField("value_range") else None
    return Rendering(size, message.relu, message.normalize, DTYPES[data_type], message.each_channel, value_range)


def _value_range(message: pb.Rendering) -> tuple[float, float]:
    low, high = message.value_range.low, message.value_range.high
    if message.each_channel:
        raise BadQuestion("either each channel is normalized by itself, or all of them from the same value range")
    if not (low < high and np.isfinite([low, high]).all()):
        raise BadQuestion(f"a value range goes from a number up to a larger one, not from {low:g} to {high:g}")
    return low, high


def render(heatmaps: np.ndarray, rendering: Rendering, input_size: tuple[int, int] | None) -> Rendered:
    """Finishes raw maps (rows, ..., height, width); `input_size` is the model input's, None where it is no image."""
    steps = []
    if rendering.relu:
        heatmaps = heatmaps.clip(0)
        steps.append("relu")
    size = pixels(rendering.size, heatmaps.shape[-2:], input_size)
    if size != heatmaps.shape[-2:]:
        heatmaps = resize(heatmaps, size)
        steps.append(f"resize {size[0]}x{size[1]} bilinear, half-pixel centres")
    if rendering.normalize:
        heatmaps, step = _normalized(heatmaps, rendering)
        steps.append(step)
    if rendering.dtype == np.uint8:
        heatmaps = np.rint(heatmaps * 255)
    if rendering.dtype != FLOAT32:
        steps.append(rendering.dtype.name)
    return Rendered(np.ascontiguousarray(heatmaps, rendering.dtype), tuple(steps))


def _normalized(heatmaps: np.ndarray, rendering: Rendering) -> tuple[np.ndarray, str]:
    """The maps from 0 to 1, and how they came there."""
    if rendering.value_range:
        low, high = rendering.value_range
        return spread(heatmaps, low, high), f"normalize {low:g} to {high:g}"
    if rendering.each_channel:
        maps = heatmaps.reshape(-1, *heatmaps.shape[-2:])
        return normalize(maps).reshape(heatmaps.shape), "normalize min-max, each channel"
    return normalize(heatmaps), "normalize min-max"


def pixels(
    size: str | tuple[int, int], layer_size: tuple[int, ...], input_size: tuple[int, int] | None
) -> tuple[int, ...]:
    """Height and width of the finished map."""
    if isinstance(size, tuple):
        return size
    if size == "layer":
        return layer_size
    if input_size is None:
        raise BadQuestion("the input of this model is not an image: ask for size layer, or for a height and width")
    return input_size
