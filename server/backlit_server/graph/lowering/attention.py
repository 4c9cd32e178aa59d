"""Attention as ONNX Runtime fuses it, written as products and a softmax.

Attention, QAttention and MultiHeadAttention: softmax(q @ k.T * scale + masks) @ v for each head (Vaswani et al. 2017,
"Attention Is All You Need", equation 1). RotaryEmbedding: Su et al. 2021, "RoFormer", equation 34.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from onnx import TensorProto

from backlit_server.graph.lowering.fused import unsupported
from backlit_server.graph.lowering.quantised import dequantized
from backlit_server.graph.recording.sym import HALVES, Array


@dataclass(frozen=True)
class Softmax:
    """What stands between the products: the factor before it, and what is added where a mask hides a token."""

    scale: float | None
    filter: float
    causal: bool

    def __call__(self, product: Array, mask: Array, bias: Array) -> Array:
        """The weights (batch, heads, queries, keys); of half precision they are computed in single."""
        wide = product.astype(TensorProto.FLOAT) if product.dtype in HALVES else product
        for added in (bias, None if mask is None else self._hidden(mask, wide)):
            wide = wide if added is None else wide + added.astype(wide.dtype)
        if self.causal:
            wide = self._without_later(wide)
        return wide.op("Softmax", axis=-1).astype(product.dtype)

    def _hidden(self, mask: Array, beside: Array) -> Array:
        return (1 - _four_axes(mask).astype(beside.dtype)) * self.filter

    def _without_later(self, wide: Array) -> Array:
        ones = wide.zeros() + 1
        queries, keys = (wide.op("Shape", start=axis, end=axis + 1) for axis in (2, 3))
        earlier = ones.op("Trilu", (keys - queries).reshape(()), upper=0)
        return np.where(earlier > 0, wide, float(np.finfo(np.float32).min))


def attention(
    x: Array, weights: Array, bias: Array = None, mask: Array = None, past: Array = None, attention_bias: Array = None,
    past_length: Array = None, *, num_heads: int, qkv_hidden_sizes: list[int] | None = None, **attributes: Any,
) -> tuple[Array, None]:  # fmt: skip
    """Attention: the projections of q, k and v lie side by side in one matrix."""
    if past is not None or past_length is not None or attributes.get("do_rotary"):
        raise unsupported("it keeps a state from token to token, or turns its tokens")
    projected = x.op("MatMul", weights)
    projected = projected if bias is None else projected + bias
    sizes = qkv_hidden_sizes or [int(weights.shape[-1]) // 3] * 3
    q, k, v = (_heads(part, num_heads) for part in projected.op("Split", sizes, outputs=3, axis=-1))
    return _joined(_attended(q, k, v, _softmax(attributes), _lengths_as_mask(mask, x), attention_bias)), None


def quantised_attention(
    x: Array, weights: Array, bias: Array, x_scale: Array, weight_scale: Array, mask: Array = None,
    x_zero: Array = None, weight_zero: Array = None, past: Array = None, **attributes: Any,
) -> tuple[Array, None]:  # fmt: skip
    """QAttention: the projection is an integer product, the rest is float."""
    wide = dequantized(x, x_scale, x_zero)
    matrix = dequantized(weights, weight_scale, weight_zero, axis=1)
    return attention(wide, matrix, bias, mask, past, **attributes)


def multi_head_attention(
    query: Array, key: Array = None, value: Array = None, bias: Array = None, mask: Array = None,
    attention_bias: Array = None, past_key: Array = None, past_value: Array = None, *_: Any,
    num_heads: int, **attributes: Any,
) -> tuple[Array, Array, Array]:  # fmt: skip
    """MultiHeadAttention, with its inputs packed or apart; further outputs: keys and values of each head."""
    parts = _unpacked(query, key, value)
    if bias is not None:
        sizes = [int(part.shape[-1]) if part.rank == 3 else num_heads * int(part.shape[-1]) for part in parts]
        offsets = bias.op("Split", sizes, outputs=3, axis=0)
        parts = [_with_bias(part, offset) for part, offset in zip(parts, offsets, strict=True)]
    q, k, v = (part if part.rank == 4 else _heads(part, num_heads) for part in parts)
    if past_key is not None:
        k, v = np.concatenate([past_key, k], 2), np.concatenate([past_value, v], 2)
    return _joined(_attended(q, k, v, _softmax(attributes), _lengths_as_mask(mask, k), attention_bias)), k, v


def _unpacked(query: Array, key: Array, value: Array) -> list[Array]:
    """Query, key and value, each (batch, tokens, channels) or (batch, heads, tokens, channels of a head)."""
    if query.rank == 5:  # (batch, tokens, heads, 3, channels of a head)
        return [query[:, :, :, k].transpose(0, 2, 1, 3) for k in range(3)]
    if key is not None and key.rank == 5:  # (batch, tokens, heads, 2, channels of a head)
        return [query, *(key[:, :, :, k].transpose(0, 2, 1, 3) for k in range(2))]
    if key is None or value is None:
        raise unsupported("it has a query without a key or a value")
    return [query, key, value]


def _with_bias(part: Array, offset: Array) -> Array:
    return part + (offset if part.rank == 3 else offset.reshape(1, part.shape[1], 1, -1))


def _softmax(attributes: dict[str, Any]) -> Softmax:
    scale, hidden = attributes.get("scale"), attributes.get("mask_filter_value", -10000.0)
    return Softmax(scale or None, hidden, bool(attributes.get("unidirectional")))


def _attended(q: Array, k: Array, v: Array, softmax: Softmax, mask: Array, bias: Array) -> Array:
    scale = softmax.scale or 1 / math.sqrt(int(q.shape[-1]))
    product = (q * scale).op("MatMul", k.transpose(0, 1, 3, 2))
    return replace(softmax, scale=scale)(product, mask, bias).op("MatMul", v)


def _heads(t: Array, count: int) -> Array:
    """(batch, tokens, channels) as (batch, heads, tokens, channels of a head)."""
    return t.op("Reshape", [0, 0, count, int(t.shape[-1]) // count]).transpose(0, 2, 1, 3)


def _joined(t: Array) -> Array:
    """The heads side by side again."""
    turned = t.transpose(0, 2, 1, 3)
    return turned.op("Reshape", [0, 0, int(turned.shape[2]) * int(turned.shape[3])])


def _lengths_as_mask(mask: Array, tokens: Array) -> Array:
    """A mask of ones and zeros: as it is, or made of how many tokens of each row count."""
    if mask is None or mask.rank > 1:
        return mask
    if mask.shape[0] != tokens.shape[0]:
        raise unsupported("its mask_index counts from both ends")
    count = tokens.op("Shape", start=tokens.rank - 2, end=tokens.rank - 1).reshape(())
    places = tokens.lift(np.array(0, np.int64)).op("Range", count, np.array(1, np.int64))
    return places[None] < mask.astype(TensorProto.INT64)[:, None]


def _four_axes(mask: Array) -> Array:
    """(batch, keys) or (batch, queries, keys) beside (batch, heads, queries, keys)."""
    return {2: lambda: mask[:, None, None], 3: lambda: mask[:, None], 4: lambda: mask}[mask.rank]()


def rotary_embedding(
    x: Array, positions: Array, cosines: Array, sines: Array, *, interleaved: int = 0, num_heads: int = 0,
    rotary_embedding_dim: int = 0, scale: float = 1.0, is_packed_batching: int = 0,
) -> Array:  # fmt: skip
    """RotaryEmbedding: pairs of channels turned by an angle that grows with the place of the token."""
    heads = x if x.rank == 4 else _heads(x, num_heads or int(x.shape[-1]) // (2 * int(cosines.shape[-1])))
    width = rotary_embedding_dim or int(heads.shape[-1])
    at = positions if positions.rank == 2 else _counted_from(positions, heads)
    cos, sin = (table.op("Gather", at)[:, None] for table in (cosines, sines))
    turned = _turned(heads[..., :width], cos, sin, interleaved)
    kept = np.concatenate([turned, heads[..., width:]], -1) if width < heads.shape[-1] else turned
    return kept if x.rank == 4 else _joined(kept)


def _counted_from(start: Array, heads: Array) -> Array:
    count = heads.op("Shape", start=2, end=3).reshape(())
    places = heads.lift(np.array(0, np.int64)).op("Range", count, np.array(1, np.int64))
    return (start + places)[None]


def _turned(t: Array, cos: Array, sin: Array, interleaved: int) -> Array:
    half = int(t.shape[-1]) // 2
    a, b = (t[..., ::2], t[..., 1::2]) if interleaved else (t[..., :half], t[..., half:])
    real, imaginary = a * cos - b * sin, a * sin + b * cos
    if not interleaved:
        return np.concatenate([real, imaginary], -1)
    pairs: Array = np.concatenate([real[..., None], imaginary[..., None]], -1)
    return pairs.op("Reshape", [0, 0, 0, 2 * half])
