"""Scores read as probabilities or as log-odds: the softmax or sigmoid behind them is part of what is explained.

A seed stays linear in what is asked for then, so that methods of many passes are as exact for a probability as for a
score: nothing is linearised at one image.
"""

from dataclasses import replace

import numpy as np
from onnx import ModelProto, helper

from backlit_proto.errors import BadQuestion, NotExplainable
from backlit_server.graph.reading.scores import LOG_ODDS, PROBABILITY, Scores
from backlit_server.graph.reading.tasks import CLASSIFICATION, SEGMENTATION, SIGMOID
from backlit_server.graph.reading.wayback import ACTIVATIONS
from backlit_server.graph.reading.wiring import Wiring, wiring
from backlit_server.graph.recording.formula import with_formula
from backlit_server.graph.recording.sym import Array


def scaled(model: ModelProto, scores: Scores, scale: str) -> tuple[ModelProto, Scores]:
    """The canonical model with the scores on another scale, and those; BadQuestion where they stand for no probability.

    The file's own softmax or sigmoid says how; where it has none, classes are taken to exclude each other: a softmax.
    """
    wires = wiring(model)
    _check(wires, scores, scale)
    name = f"{scores.name}/{scale}"
    made = replace(scores, name=name, scale=scale, explanation=f"the {scale} of {scores.name!r}")
    if scores.activation == SIGMOID:
        return with_formula(model, SIGMOIDS[scale], {"scores": scores.name}, name), made
    return with_formula(model, SOFTMAXES[scale], {"scores": scores.name}, name, axis=_axis(wires, scores)), made


def _softmax(scores: Array, *, axis: int) -> Array:
    return scores.op("Softmax", axis=axis)


def _log_odds(scores: Array, *, axis: int) -> Array:
    """log p - log(1 - p) = z - log of the sum of exp(z) over the other classes.

    For the best class 1 - p may be below what p can be told by, so the sum over the others is taken itself; for the
    others p is at most a half, and the difference exact.
    """
    best = scores.op("ArgMax", axis=axis, keepdims=0)
    is_best = best.op("OneHot", scores.size_of(axis), np.array([0, 1], np.float32), axis=axis) > 0
    lowest = np.finfo(helper.tensor_dtype_to_np_dtype(scores.dtype)).min
    others = np.where(is_best, scores.lift(lowest), scores).op("ReduceLogSumExp", [axis], keepdims=1)
    rest = 1 - np.where(is_best, 0.0, scores.op("Softmax", axis=axis))
    return np.where(is_best, scores - others, scores.op("LogSoftmax", axis=axis) - np.log(rest))


SOFTMAXES = {PROBABILITY: _softmax, LOG_ODDS: _log_odds}
SIGMOIDS = {PROBABILITY: lambda scores: scores.op("Sigmoid"), LOG_ODDS: lambda scores: scores.op("Identity")}


def _check(wires: Wiring, scores: Scores, scale: str) -> None:
    made_by = wires.nodes[wires.maker[scores.name]].op_type if scores.name in wires.maker else ""
    if made_by in ACTIVATIONS:
        raise BadQuestion(
            f"{scores.name!r} comes out of a {made_by}: it is a probability already; ask for the {scale} of what goes "
            "into it, or for its own values as scores"
        )
    if not scores.activation and scores.task.kind not in (CLASSIFICATION, SEGMENTATION):
        raise NotExplainable(
            f"the scores {scores.name!r} stand for no probability: {scores.task.why}, and no softmax or sigmoid "
            "follows; explain the scores themselves"
        )


def _axis(wires: Wiring, scores: Scores) -> int:
    """The axis of the classes: that of the file's own softmax, or where they are."""
    rank = len(wires.kinds[scores.name].shape or (0, 0))
    followed = [node for k in wires.readers.get(scores.name, ()) if (node := wires.nodes[k]).op_type in ACTIVATIONS]
    if scores.activation:
        return next((a.i for node in followed for a in node.attribute if a.name == "axis"), -1) % rank
    if scores.task.kind == SEGMENTATION:
        return 1 + scores.task.axes.index("C")
    return next((k for k, size in enumerate(scores.shape) if k and size != 1), 1)
