"""Builds a network like VGG-11 with random weights, for measuring: plain convolutions, and dense layers as the head.

Simonyan and Zisserman, "Very deep convolutional networks", 2015, configuration A, at half its width and a quarter of it
in the dense layers: 17 million parameters, most of them in the head, as there.
"""

from pathlib import Path

import numpy as np

from resnet50 import Net

WIDTHS = ((32,), (64,), (128, 128), (256, 256), (256, 256))  # of the convolutions between two poolings
DENSE = 1024
CLASSES = 1000
SMALLEST = 7  # places a side after the last pooling


def vgg11(path: Path, seed: int = 0) -> None:
    """Writes the model: input "input" [N,3,224,224], output "logits" [N,1000]; the same seed makes the same bytes."""
    net = Net(np.random.default_rng(seed))
    x, channels = "input", 3
    for stage, widths in enumerate(WIDTHS):
        for number, width in enumerate(widths):
            x = net.relu(net.conv(x, f"conv{stage}.{number}", (channels, width, 3)))
            channels = width
        x = net.add("MaxPool", f"pool{stage}", [x], kernel_shape=[2, 2], strides=[2, 2])
    x, features = net.add("Flatten", "flatten", [x]), channels * SMALLEST**2
    for number in range(2):
        x, features = net.relu(dense(net, f"dense{number}", x, features, DENSE)), DENSE
    dense(net, "logits", x, features, CLASSES)
    path.write_bytes(net.model((224, 224)).SerializeToString(deterministic=True))


def dense(net: Net, name: str, x: str, entering: int, leaving: int) -> str:
    """A dense layer, whose node and output are called `name`."""
    W = net.constant(f"{name}.weight", (leaving, entering), entering)
    b = net.constant(f"{name}.bias", (leaving,), entering)
    return net.add("Gemm", name, [x, W, b], transB=1)
