"""Single nodes, a line each: what is shared among the elements of x is what y gained."""

import numpy as np
import onnx

from networks import normals
from written import model

DRAWN = normals(7)
# Nodes from x (float[N,2,4,4]) to y, of the same shape: what is shared among the elements is what y gained.
NODES = {
    "an activation": "y = Tanh(x)",
    "ReLU6": "y = Clip(x, zero, two)",
    "SiLU": "y = Swish<alpha=1.0>(x)",
    "SiLU written out": "a = Sigmoid(x)  y = Mul(x, a)",
    "HardSwish written out": "a = HardSigmoid(x)  y = Mul(x, a)",
    "GELU": "y = Gelu(x)",
    "a learned slope": "y = PRelu(x, slope)",
    "a power": "a = Abs(x)  b = Add(a, two)  y = Pow(b, two)",
    "a product": "a = Exp(x)  b = ReduceMean<keepdims=1>(x, rest)  y = Mul(a, b)",
    "a square": "y = Mul(x, x)",
    "a quotient": "a = Exp(x)  b = ReduceSum<keepdims=1>(a, rest)  y = Div(x, b)",
    "a softmax": "y = Softmax<axis=1>(x)",
    "attention": "t = Transpose<perm=[0,1,3,2]>(x)  s = MatMul(x, t)  p = Softmax(s)  y = MatMul(p, x)",
    "two halves of a product": "a, b = Split<axis=1, num_outputs=2>(x)  c = Mul(a, b)  y = Concat<axis=1>(c, c)",
    "windows that overlap": "y = MaxPool<kernel_shape=[3,3], pads=[1,1,1,1]>(x)",
    "the larger": "a = Sin(x)  y = Max(x, a)",
    "the smaller of two and a number": "a = Neg(x)  y = Min(x, a, two)",
    "the largest of all": "a = ReduceMax<keepdims=1>(x, rest)  y = Add(x, a)",
    "a convolution": "y = Conv<pads=[1,1,1,1]>(x, w, bias)",
    "an average": "y = AveragePool<kernel_shape=[3,3], pads=[1,1,1,1]>(x)",
    "a batch norm": "y = BatchNormalization(x, wide, bias, bias, wide)",
    "a layer norm": "y = LayerNormalization<axis=-1>(x, four, four)",
    "a norm by its own length": "a = ReduceL2<keepdims=1>(x, rest)  y = Div(x, a)",
    "a sum of exponentials": "a = ReduceLogSumExp<keepdims=1>(x, rest)  y = Sub(x, a)",
    "a squeeze and excitation": "a = GlobalAveragePool(x)  b = Sigmoid(a)  y = Mul(x, b)",
    "moves": "a = Transpose<perm=[0,1,3,2]>(x) b = Reshape(a, flat) c = Gather<axis=1>(b, back) y = Reshape(c, maps)",
}
WEIGHTS = {
    "zero": np.float32(0), "two": np.float32(1.5), "slope": abs(DRAWN(2, 1, 1)), "w": DRAWN(2, 2, 3, 3),
    "bias": DRAWN(2), "wide": abs(DRAWN(2)) + 0.5, "four": DRAWN(4), "flat": np.array([0, 32]),
    "back": np.arange(32)[::-1].copy(), "maps": np.array([0, 2, 4, 4]), "rest": np.array([1, 2, 3]),
}  # fmt: skip


def node(name: str) -> onnx.ModelProto:
    net = model(f"(float[N,2,4,4] x) => (float[N,2,4,4] y) {{ {NODES[name]} }}")
    used = {i for n in net.graph.node for i in n.input}
    net.graph.initializer.extend(onnx.numpy_helper.from_array(v, k) for k, v in WEIGHTS.items() if k in used)
    net.opset_import[0].version = 24 if "Swish" in NODES[name] else 21
    return net
