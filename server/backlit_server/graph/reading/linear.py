"""The weights of a head that is linear in the mean of the features, found by asking the head itself.

scores = mean over height and width (features) @ W + b is what class activation maps rest on
(Zhou et al. 2016, "Learning Deep Features for Discriminative Localization", equation 1).
Exporters write such a head in dozens of ways, and reading them all would be guesswork. Instead
the head runs on features that are zero but for one channel, which gives W, and on random ones,
which proves W or refutes it.
"""

import math
from dataclasses import replace

import numpy as np

from backlit_server.graph.cut import Cut, cut
from backlit_server.graph.reading.probe import Probe, probe
from backlit_server.graph.reading.rounding import unrounded
from backlit_server.graph.reading.view import View
from backlit_server.graph.reading.wiring import wiring

# What a linear head may consist of; anything else needs no run to be told apart.
AFFINE = frozenset((
    "Add", "AveragePool", "BatchNormalization", "Cast", "Concat", "Conv", "DequantizeLinear", "Div", "Dropout",
    "Flatten", "Gather", "Gemm", "GlobalAveragePool", "Identity", "MatMul", "Mul", "Pad", "ReduceMean", "ReduceSum",
    "Reshape", "Shape", "Slice", "Split", "Squeeze", "Sub", "Transpose", "Unsqueeze",
))  # fmt: skip
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
    weights, bias = (_behind_pooling(made, scores, whole) or whole).weights()
    return weights.astype(np.float32) if whole.same(answers, mean.reshape(TRIALS, -1) @ weights + bias) else None


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
