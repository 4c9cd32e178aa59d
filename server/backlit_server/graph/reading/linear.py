"""The weights of a head that is linear in the mean of the features, found by asking the head itself.

scores = mean over height and width (features) @ W + b is what class activation maps rest on
(Zhou et al. 2016, "Learning Deep Features for Discriminative Localization", equation 1).
Exporters write such a head in dozens of ways, and reading them all would be guesswork. So W is guessed,
a constant of the right size, and else asked for, by features that are zero but for one channel; and either
way the head runs on random features, which prove W or refute it.
"""

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from onnx import ModelProto, TensorProto

from backlit_server.graph.cut import Cut, cut
from backlit_server.graph.reading.probe import Probe, probe
from backlit_server.graph.reading.rounding import unrounded
from backlit_server.graph.reading.view import View
from backlit_server.graph.reading.wiring import wiring
from backlit_server.graph.spelling.elsewhere import values_of

# What a linear head may consist of; anything else needs no run to be told apart.
AFFINE = frozenset((
    "Add", "AveragePool", "BatchNormalization", "Cast", "Concat", "Conv", "DequantizeLinear", "Div", "Dropout",
    "Flatten", "Gather", "Gemm", "GlobalAveragePool", "Identity", "MatMul", "Mul", "Pad", "ReduceMean", "ReduceSum",
    "Reshape", "Shape", "Slice", "Split", "Squeeze", "Sub", "Transpose", "Unsqueeze",
))  # fmt: skip
SHARP = (TensorProto.FLOAT, TensorProto.DOUBLE)  # types whose proof tells W from 1.01 W
TRIALS = 2  # random features that W has to explain, each thousands of numbers
POOLINGS = frozenset(("AveragePool", "GlobalAveragePool", "ReduceMean", "ReduceSum"))


def linear_weights(made: Cut, view: View, scores: str) -> np.ndarray | None:
    """W of the head of a cut, (channels, classes), with scores = mean(features) @ W + b; None where there is none.

    Of a quantised head it is the W between its roundings.
    """
    made = replace(made, head=unrounded(made.head))
    operators = {node.op_type for node in made.head.graph.node}
    if not view.whole or len(made.crossing) > 1 or not operators <= AFFINE or not operators & POOLINGS:
        return None
    whole = _probe(made, view.axes)
    if whole is None:
        return None
    features = np.random.default_rng(0).normal(0.5, 1, (TRIALS, *whole.shape[1:])).astype(whole.dtype)
    mean, answers = whole.mean(features), whole(features)
    if not whole.same(answers, whole(np.broadcast_to(mean, features.shape).astype(whole.dtype))):
        return None
    behind, means = _behind_pooling(made, scores, whole) or whole, mean.reshape(TRIALS, -1)
    bias = behind.bias()
    for weights in _guesses(made.head, means.shape[1], len(bias)):
        if whole.same(answers, means @ weights + bias):
            return np.array(weights, np.float32, order="C")
    weights = behind.weights(bias)
    return weights.astype(np.float32) if whole.same(answers, means @ weights + bias) else None


def _guesses(head: ModelProto, channels: int, classes: int) -> Iterator[np.ndarray]:
    """The constants of a head that may be its W, (channels, classes): to ask for one of 2,048 x 1,000 takes 0.1 s."""
    for tensor in head.graph.initializer:
        if tensor.data_type in SHARP and tensor.dims and math.prod(tensor.dims) == channels * classes:
            values = values_of(tensor)
            if len(values) == channels:
                yield values.reshape(channels, classes)
            if len(values) == classes:
                yield values.reshape(classes, channels).T


def _probe(made: Cut, axes: str) -> Probe | None:
    return probe(made.head, wiring(made.head).kinds[made.layer], axes, made.rows_tile)


def _behind_pooling(made: Cut, scores: str, whole: Probe) -> Probe | None:
    """The head from behind its pooling on, where that comes first: its features are smaller by height times width."""
    wires = wiring(made.head)
    readers = wires.readers[made.layer]
    pooling = wires.nodes[readers[0]]
    pooled = pooling.output[0]
    if len(readers) > 1 or pooling.op_type not in POOLINGS or pooled == scores:
        return None
    rank = len(wires.kinds[pooled].shape or ())
    small = _probe(
        replace(cut(made.head, pooled, scores), rows_tile=made.rows_tile),
        whole.axes if rank == len(whole.axes) else "NC",
    )
    channels = whole.shape[whole.axes.index("C")]
    return small if small is not None and math.prod(small.shape[1:]) == channels else None
