"""Where a gradient passes an activation: multiplied with zeros and ones that its output tells.

From the output, so that the runtime can still fuse an activation into the convolution before it. And by HardSigmoid,
steep enough to be a step: ONNX Runtime computes convolutions of the CPU in a blocked layout, in which HardSigmoid and
Mul work too, where Greater and Where make it reorder three tensors a mask (ResNet-50's size, saliency: 2.47 -> 2.39
forward passes on one core, the same bits).
"""

import numpy as np
from onnx import TensorProto

from backlit_server.graph.recording.sym import Array

STEEP = 2.0**127  # of a float32: what is above 0 becomes 1, whatever it is
LESS_STEEP = 2.0**120  # 6 times it can still be written


def where_positive(g: Array, y: Array) -> Array:
    """g where y > 0, else 0; y is not negative."""
    if y.dtype != TensorProto.FLOAT:  # the runtime has the kernel in single precision alone
        return np.where(y > 0, g, 0)
    return g * y.op("HardSigmoid", alpha=STEEP, beta=0.0)


def where_between(g: Array, y: Array, top: float) -> Array:
    """g where 0 < y < top, else 0; y is not negative, top at most 64."""
    if y.dtype != TensorProto.FLOAT:
        return np.where((y > 0) & (y < top), g, 0)
    above, below = (y.op("HardSigmoid", alpha=a, beta=b) for a, b in ((STEEP, 0.0), (-LESS_STEEP, top * LESS_STEEP)))
    return g * (above * below)
