"""Builds a network of ResNet-50's size and shape with random weights, for measuring where real ones do not matter.

He, Zhang, Ren and Sun, "Deep residual learning", 2015, with the stride in the 3x3 convolution as torchvision has it;
He initialisation, batch norms folded away. 25.6 million parameters, 102 MB.

    python tests/bench/resnet50.py OUT.onnx
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

STAGES = ((64, 1), (128, 2), (256, 2), (512, 2))  # width, stride of the first block
BLOCKS = (3, 4, 6, 3)
WIDER = 4  # a block's output has four times its width


def resnet50(path: Path, seed: int = 0) -> None:
    """Writes the model: input "input" [N,3,224,224], output "logits" [N,1000]; the same seed makes the same bytes."""
    resnet(path, BLOCKS, [224, 224], seed)


def resnet(path: Path, blocks: Sequence[int], size: Sequence[int | str], seed: int = 0) -> None:
    """The same with so many blocks a stage, for images of this height and width; a name leaves one free."""
    net = Net(np.random.default_rng(seed))
    x = net.relu(net.conv("input", "stem", (3, 64, 7), stride=2))
    x = net.add("MaxPool", "pool", [x], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    channels = 64
    for stage, ((width, stride), count) in enumerate(zip(STAGES, blocks, strict=True), 1):
        for block in range(count):
            x = net.bottleneck(x, f"layer{stage}.{block}", (channels, width), stride if block == 0 else 1)
            channels = width * WIDER
    net.classify(x, channels)
    path.write_bytes(net.model(size).SerializeToString(deterministic=True))


@dataclass
class Net:
    """The network as far as it is written; node and output share one name."""

    random: np.random.Generator
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    tensors: list[onnx.TensorProto] = field(default_factory=list)

    def bottleneck(self, x: str, name: str, channels: tuple[int, int], stride: int) -> str:
        """Narrow, filter, widen; added to what came in, which is projected where the shapes differ."""
        entering, width = channels
        y = self.relu(self.conv(x, f"{name}.narrow", (entering, width, 1)))
        y = self.relu(self.conv(y, f"{name}.filter", (width, width, 3), stride))
        y = self.conv(y, f"{name}.widen", (width, width * WIDER, 1))
        if stride != 1 or entering != width * WIDER:
            x = self.conv(x, f"{name}.shortcut", (entering, width * WIDER, 1), stride)
        return self.relu(self.add("Add", f"{name}.add", [y, x]))

    def conv(self, x: str, name: str, kernel: tuple[int, int, int], stride: int = 1) -> str:
        """A square convolution; `kernel` is channels in, channels out, size."""
        entering, leaving, size = kernel
        W = self.constant(f"{name}.weight", (leaving, entering, size, size), entering * size**2)
        b = self.constant(f"{name}.bias", (leaving,), entering * size**2)
        pads, strides = [size // 2] * 4, [stride, stride]
        return self.add("Conv", name, [x, W, b], kernel_shape=[size, size], strides=strides, pads=pads)

    def relu(self, x: str) -> str:
        return self.add("Relu", f"{x}.relu", [x])

    def classify(self, x: str, channels: int) -> None:
        """Global average pooling and one linear layer."""
        W = self.constant("logits.weight", (1000, channels), channels)
        b = self.constant("logits.bias", (1000,), channels)
        pooled = self.add("Flatten", "flatten", [self.add("GlobalAveragePool", "average", [x])])
        self.add("Gemm", "logits", [pooled, W, b], transB=1)

    def constant(self, name: str, shape: tuple[int, ...], fan_in: int) -> str:
        """He initialisation, halved so that sixteen residual sums stay in range without batch norms."""
        array = self.random.standard_normal(shape, np.float32) * np.float32(0.5 * np.sqrt(2 / fan_in))
        self.tensors.append(numpy_helper.from_array(array, name))
        return name

    def add(self, operator: str, name: str, inputs: list[str], **attributes: Any) -> str:  # any ONNX attribute
        self.nodes.append(helper.make_node(operator, inputs, [name], name, **attributes))
        return name

    def model(self, size: Sequence[int | str]) -> onnx.ModelProto:
        """Opset 17, IR 8, as exporters wrote them for years."""
        x = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", 3, *size])
        y = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 1000])
        graph = helper.make_graph(self.nodes, "resnet50", [x], [y], self.tensors)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python tests/bench/resnet50.py OUT.onnx")
    resnet50(Path(sys.argv[1]))
