"""From the raw map to what was asked for: the profile's steps as the question changes them, then the element type."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import BadQuestion
from backlit_proto.tensors import DTYPES
from backlit_server.methods.interpolation import INTERPOLATIONS
from backlit_server.methods.profiles import FLOAT32, NORMALIZE, RELU, RESIZE, UINT8, Rendering
from backlit_server.methods.scaling import normalize, resize, spread

LARGEST_SIDE = 8192
FLOAT16 = np.dtype(np.float16)
SMALLEST_HALF, LARGEST_HALF = (float(limit) for limit in (np.finfo(FLOAT16).smallest_normal, np.finfo(FLOAT16).max))
Step = Callable[[np.ndarray, Rendering, tuple[int, ...]], tuple[np.ndarray, str]]
"""From maps, their rendering and the size asked for to maps, and what was done in words ("": nothing)."""


@dataclass(frozen=True)
class Rendered:
    """Finished heatmaps, one a row, and the steps that made them, in order."""

    heatmaps: np.ndarray
    steps: tuple[str, ...]


SIZES = {pb.Rendering.SIZE_LAYER: "layer", pb.Rendering.SIZE_INPUT: "input"}
ELEMENTS = (pb.DATA_TYPE_FLOAT32, pb.DATA_TYPE_FLOAT16, pb.DATA_TYPE_UINT8)


def read_rendering(message: pb.Rendering, usual: Rendering) -> Rendering:
    """The rendering of a question, checked; `usual` is the profile's, for all that the question does not say."""
    steps = usual.steps
    if message.HasField("relu") and message.relu != (RELU in steps):
        steps = (RELU, *steps) if message.relu else _without(RELU, steps)
    if message.HasField("normalize") and message.normalize != (NORMALIZE in steps):
        steps = (*steps, NORMALIZE) if message.normalize else _without(NORMALIZE, steps)
    return replace(
        usual,
        size=_size(message, usual),
        steps=steps,
        dtype=_dtype(message, usual, NORMALIZE in steps),
        each_channel=message.each_channel,
        value_range=_value_range(message),
    )


def _without(left_out: str, steps: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(step for step in steps if step != left_out)


def _size(message: pb.Rendering, usual: Rendering) -> str | tuple[int, int]:
    if message.size == pb.Rendering.SIZE_UNSPECIFIED:
        return usual.size
    size = SIZES.get(message.size, (message.height, message.width))
    if isinstance(size, tuple) and not all(0 < side <= LARGEST_SIDE for side in size):
        raise BadQuestion(f"a heatmap of {size[0]} x {size[1]}: both sides must lie between 1 and {LARGEST_SIDE}")
    return size


def _value_range(message: pb.Rendering) -> tuple[float, float] | None:
    if not message.HasField("value_range"):
        return None
    low, high = message.value_range.low, message.value_range.high
    if message.each_channel:
        raise BadQuestion("either each channel is normalized by itself, or all of them from the same value range")
    if not (low < high and np.isfinite([low, high]).all()):
        raise BadQuestion(f"a value range goes from a number up to a larger one, not from {low:g} to {high:g}")
    return low, high


def _dtype(message: pb.Rendering, usual: Rendering, normalized: bool) -> np.dtype:
    if not message.data_type:
        return usual.dtype if normalized else FLOAT32
    if message.data_type not in ELEMENTS:
        valid = ", ".join(str(DTYPES[e]) for e in ELEMENTS)
        raise BadQuestion(f"heatmaps come as {valid}, not as {pb.DataType.Name(message.data_type)}")
    if message.data_type == pb.DATA_TYPE_UINT8 and not normalized:
        raise BadQuestion("a uint8 heatmap spans 0 to 255: ask for normalize as well, or for float32")
    return DTYPES[message.data_type]


def render(heatmaps: np.ndarray, rendering: Rendering, input_size: tuple[int, int] | None) -> Rendered:
    """Finishes raw maps (rows, ..., height, width); `input_size` is the model input's, None where it is no image."""
    size, said = pixels(rendering.size, heatmaps.shape[-2:], input_size), []
    for step in rendering.steps:
        heatmaps, words = STEPS[step](heatmaps, rendering, size)
        said += [words] if words else []
    if rendering.dtype in NARROWED:
        heatmaps = NARROWED[rendering.dtype](heatmaps)
        said.append(rendering.dtype.name)
    return Rendered(np.ascontiguousarray(heatmaps, rendering.dtype), tuple(said))


def _bytes(heatmaps: np.ndarray) -> np.ndarray:
    """Maps from 0 to 1 as 0 to 255; NaN, which no byte holds, becomes 0."""
    return np.rint(np.nan_to_num(heatmaps, nan=0, posinf=1, neginf=0) * 255)


def _halves(heatmaps: np.ndarray) -> np.ndarray:
    """The maps themselves; BadQuestion where one would overflow, or lose all of itself below what a half can hold."""
    strongest = np.where(np.isfinite(heatmaps), abs(heatmaps), 0).reshape(len(heatmaps), -1).max(1)
    lost = strongest[(strongest > LARGEST_HALF) | ((strongest > 0) & (strongest < SMALLEST_HALF))]
    if lost.size:
        raise BadQuestion(
            f"the strongest value of a heatmap is {lost[0]:.3g}, and float16 holds {SMALLEST_HALF:.3g} to "
            f"{LARGEST_HALF:g}: ask for normalize as well, or for float32"
        )
    return heatmaps


NARROWED: Mapping[np.dtype, Callable[[np.ndarray], np.ndarray]] = {UINT8: _bytes, FLOAT16: _halves}


def _relu(heatmaps: np.ndarray, rendering: Rendering, size: tuple[int, ...]) -> tuple[np.ndarray, str]:
    return heatmaps.clip(0), "relu"


def _resize(heatmaps: np.ndarray, rendering: Rendering, size: tuple[int, ...]) -> tuple[np.ndarray, str]:
    if size == heatmaps.shape[-2:]:
        return heatmaps, ""
    kind = rendering.interpolation
    with np.errstate(all="ignore"):  # the status says what is not finite
        return resize(heatmaps, size, kind), f"resize {size[0]}x{size[1]} {INTERPOLATIONS[kind].words}"


@np.errstate(all="ignore")  # as above
def _normalize(heatmaps: np.ndarray, rendering: Rendering, size: tuple[int, ...]) -> tuple[np.ndarray, str]:
    if rendering.value_range:
        low, high = rendering.value_range
        return spread(heatmaps, low, high), f"normalize {low:g} to {high:g}"
    beside = f" with {rendering.epsilon:g}" if rendering.epsilon else ""
    if rendering.each_channel:
        maps = normalize(heatmaps.reshape(-1, *heatmaps.shape[-2:]), rendering.epsilon)
        return maps.reshape(heatmaps.shape), f"normalize min-max{beside}, each channel"
    return normalize(heatmaps, rendering.epsilon), f"normalize min-max{beside}"


STEPS: Mapping[str, Step] = {RELU: _relu, RESIZE: _resize, NORMALIZE: _normalize}


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
