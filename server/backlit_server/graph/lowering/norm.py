"""Normalisations that ONNX Runtime makes of several operators, taken apart again."""

from typing import Any

import numpy as np
from onnx import TensorProto

from backlit_server.graph.lowering.fused import channels_first
from backlit_server.graph.recording.sym import HALVES, Array


def layer_normalization(x: Array, scale: Array, bias: Array = None, **attributes: Any) -> tuple[Array, ...]:
    return x.op("LayerNormalization", scale, bias, outputs=3, **attributes)


def simplified_layer_normalization(
    x: Array, scale: Array, axis: int = -1, epsilon: float = 1e-5, **_: Any
) -> tuple[Array, Array]:
    """x / sqrt(mean(x^2) + epsilon) * scale, in single precision at least, and the factor before `scale`."""
    wide = x.astype(TensorProto.FLOAT) if x.dtype in HALVES else x
    over = list(range(axis % x.rank, x.rank))
    factor = 1 / np.sqrt((wide * wide).mean(over, keepdims=True) + epsilon)
    return (wide * factor).astype(scale.dtype) * scale, factor


def skip_layer_normalization(
    x: Array, skip: Array, scale: Array, beta: Array = None, bias: Array = None, epsilon: float = 1e-12
) -> tuple[Array, ...]:
    total = x + skip if bias is None else x + skip + bias
    return (*layer_normalization(total, scale, beta, epsilon=epsilon, axis=-1), total)


def skip_simplified_layer_normalization(
    x: Array, skip: Array, scale: Array, bias: Array = None, epsilon: float = 1e-12
) -> tuple[Any, ...]:
    total = x + skip if bias is None else x + skip + bias
    y, factor = simplified_layer_normalization(total, scale, epsilon=epsilon)
    return y, None, factor, total


def embed_layer_normalization(
    ids: Array, segments: Array, words: Array, places: Array, segment_table: Array, scale: Array, bias: Array,
    mask: Array = None, position_ids: Array = None, epsilon: float = 1e-12, **_: Any,
) -> tuple[Array, ...]:  # fmt: skip
    """EmbedLayerNormalization: the embeddings of word, place and segment, summed and normalised."""
    length = ids.op("Shape", start=1)
    positions = places.op("Slice", [0], length, [0]) if position_ids is None else places.op("Gather", position_ids)
    total = words.op("Gather", ids) + positions
    if segments is not None:
        total = total + segment_table.op("Gather", segments)
    y = layer_normalization(total, scale, bias, epsilon=epsilon, axis=-1)[0]
    lengths = (ids * 0 if mask is None else mask).sum(1)
    return y, lengths.astype(TensorProto.INT32), total


def grouped(x: Array, scale: Array, bias: Array, *, num_groups: int, epsilon: float = 1e-5, **_: Any) -> Array:
    """GroupNormalization as InstanceNormalization of the groups, whose types and shapes onnx can infer."""
    ones, zeros = (x.lift(np.full(num_groups, k, np.float32)).astype(x.dtype) for k in (1, 0))
    groups = x.op("Reshape", [0, num_groups, -1]).op("InstanceNormalization", ones, zeros, epsilon=epsilon)
    factor, offset = (p.astype(x.dtype).reshape([-1, *[1] * (x.rank - 2)]) for p in (scale, bias))
    return groups.shaped_as(x) * factor + offset


def group_normalization(
    x: Array, scale: Array, bias: Array, *, groups: int, activation: int, epsilon: float = 1e-5, channels_last: int = 1
) -> Array:
    """GroupNorm, with SiLU behind it where activation is 1."""

    def normalised(t: Array) -> Array:
        y = grouped(t, scale, bias, num_groups=groups, epsilon=epsilon)
        return y * y.op("Sigmoid") if activation else y

    return channels_first(x, normalised) if channels_last else normalised(x)


def skip_group_normalization(
    x: Array, scale: Array, bias: Array, skip: Array, added: Array = None, **attributes: Any
) -> tuple[Array, Array]:
    last = attributes.get("channels_last", 1)
    beside = skip if skip.rank == x.rank else skip.reshape(*_places(skip.shape, x.rank, last))
    total = x + beside if added is None else x + beside + added.reshape(*_places((1, *added.shape), x.rank, last))
    return group_normalization(total, scale, bias, **attributes), total


def _places(shape: tuple[Any, ...], rank: int, last: int) -> list[int]:
    """(batch, channels) with axes of one where height and width would be."""
    batch, channels = (-1 if isinstance(size, str) else size for size in (shape[0], shape[-1]))
    ones = [1] * (rank - 2)
    return [batch, *ones, channels] if last else [batch, channels, *ones]
