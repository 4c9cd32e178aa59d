"""LOWERINGS: operators that are written in others before anything else looks at a model, one row each.

A row is a function of the node's inputs (None for an absent one) and attributes, as the file gives them; it returns
the tensor, or a tuple of tensors (None for an output it does not make), written with standard operators. What it
cannot write it refuses with `unsupported`; the node then stays, and is named when a gradient has to pass it.

Quantised operators become float ones between DequantizeLinear and QuantizeLinear, ONNX Runtime's fused operators
(com.microsoft) what they were fused of. Operators that ONNX Runtime keeps in the main domain although no
specification holds them are rows of com.microsoft too (lower.py).
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from onnx import TensorProto

from backlit_server.graph.lowering import attention, fused, norm, quantised
from backlit_server.graph.lowering.inverse import inverse

Lowering = Callable[..., Any]
MICROSOFT = "com.microsoft"

# fmt: off
# Integer arithmetic: the floats that the integers stand for, rounded where the operator rounds.
QUANTISED: Mapping[str, Lowering] = {
    "ConvInteger":                                     quantised.integer_convolution,
    "DynamicQuantizeLinear":                           quantised.dynamic_quantize,
    "MatMulInteger":                                   quantised.integer_product,
    "QLinearConv":                                     quantised.convolution,
    "QLinearMatMul":                                   quantised.matrix_product,
    "com.microsoft.DequantizeLinear":                  quantised.dequantized,
    "com.microsoft.DynamicQuantizeMatMul":             quantised.dynamic_product,
    "com.microsoft.MatMulIntegerToFloat":              quantised.product_to_float,
    "com.microsoft.MatMulNBits":                       quantised.blocked_product,
    "com.microsoft.QAttention":                        attention.quantised_attention,
    "com.microsoft.QGemm":                             quantised.gemm,
    "com.microsoft.QLinearAdd":                        quantised.binary("Add"),
    "com.microsoft.QLinearAveragePool":                quantised.pooling("AveragePool"),
    "com.microsoft.QLinearConcat":                     quantised.concat,
    "com.microsoft.QLinearConv":                       quantised.convolution,
    "com.microsoft.QLinearGlobalAveragePool":          quantised.pooling("GlobalAveragePool"),
    "com.microsoft.QLinearLeakyRelu":                  quantised.unary("LeakyRelu"),
    "com.microsoft.QLinearMul":                        quantised.binary("Mul"),
    "com.microsoft.QLinearReduceMean":                 quantised.reduce_mean,
    "com.microsoft.QLinearSigmoid":                    quantised.unary("Sigmoid"),
    "com.microsoft.QLinearSoftmax":                    quantised.softmax,
    "com.microsoft.QLinearWhere":                      quantised.where,
    "com.microsoft.QuantizeLinear":                    quantised.quantized,
}
# What was fused, or is known under another name.
FUSED: Mapping[str, Lowering] = {
    "GroupNormalization":                              norm.grouped,
    "com.microsoft.Affine":                            lambda x, alpha=1.0, beta=0.0: x * alpha + beta,
    "com.microsoft.Attention":                         attention.attention,
    "com.microsoft.BiasAdd":                           lambda x, bias, skip: x + bias + skip,
    "com.microsoft.BiasDropout":                       fused.bias_dropout,
    "com.microsoft.BiasGelu":                          fused.bias_gelu,
    "com.microsoft.BiasSoftmax":                       fused.bias_softmax,
    "com.microsoft.BiasSplitGelu":                     fused.bias_split_gelu,
    "com.microsoft.Crop":                              fused.crop,
    "com.microsoft.EmbedLayerNormalization":           norm.embed_layer_normalization,
    "com.microsoft.ExpandDims":                        fused.expand_dims,
    "com.microsoft.FastGelu":                          fused.fast_gelu,
    "com.microsoft.FusedConv":                         fused.convolution,
    "com.microsoft.FusedGemm":                         fused.gemm,
    "com.microsoft.FusedMatMul":                       fused.matrix_product,
    "com.microsoft.FusedMatMulActivation":             fused.activated_product,
    "com.microsoft.GatherND":                          lambda x, at: x.op("GatherND", at.astype(TensorProto.INT64)),
    "com.microsoft.Gelu":                              fused.gelu,
    "com.microsoft.GemmFastGelu":                      lambda x, w, bias=None: fused.fast_gelu(x.op("MatMul", w), bias),
    "com.microsoft.GroupNorm":                         norm.group_normalization,
    "com.microsoft.ImageScaler":                       fused.image_scaler,
    "com.microsoft.Inverse":                           inverse,
    "com.microsoft.LayerNormalization":                norm.layer_normalization,
    "com.microsoft.MultiHeadAttention":                attention.multi_head_attention,
    "com.microsoft.NhwcConv":                          fused.nhwc_convolution,
    "com.microsoft.NhwcFusedConv":                     fused.nhwc_convolution,
    "com.microsoft.NhwcMaxPool":                       fused.max_pool,
    "com.microsoft.Pad":                               lambda x, *rest, mode="constant": x.op("Pad", *rest, mode=mode),
    "com.microsoft.ParametricSoftplus":                lambda x, alpha, beta: (x * beta).op("Softplus") * alpha,
    "com.microsoft.QuickGelu":                         fused.quick_gelu,
    "com.microsoft.Range":                             lambda x, end, step=1: x.op("Range", end, step),
    "com.microsoft.RotaryEmbedding":                   attention.rotary_embedding,
    "com.microsoft.Scale":                             lambda x, scale=1.0: x * scale,
    "com.microsoft.ScaledTanh":                        lambda x, alpha, beta: np.tanh(x * beta) * alpha,
    "com.microsoft.SimplifiedLayerNormalization":      norm.simplified_layer_normalization,
    "com.microsoft.SkipGroupNorm":                     norm.skip_group_normalization,
    "com.microsoft.SkipLayerNormalization":            norm.skip_layer_normalization,
    "com.microsoft.SkipSimplifiedLayerNormalization":  norm.skip_simplified_layer_normalization,
    "com.microsoft.TransposeMatMul":                   fused.matrix_product,
    "com.microsoft.Trilu":                             lambda x, *k, upper=1: x.op("Trilu", *k, upper=upper),
}
# fmt: on
LOWERINGS: Mapping[str, Lowering] = {**QUANTISED, **FUSED}
