"""Forward passes in half precision: what is converted, how far it leads, and where it is refused.

The converter is ONNX Runtime's own (onnxruntime.transformers.float16), which comes with it and is kept up beside its
kernels; onnxconverter-common, where it comes from, is not. Inputs and outputs stay in single precision, so that heads,
and the gradients they compute, do.
"""

import warnings
from dataclasses import dataclass

import numpy as np
import onnx

from backlit_proto.errors import NotExplainable
from backlit_server.execution import Drift
from backlit_server.graph import Arithmetic
from backlit_server.graph.spelling.elsewhere import brought_in, out_of_reach

MOST = 0.05  # of the largest score, which scores may move
LEAST = 0.95  # correlation of a map with its twin


@dataclass(frozen=True)
class Tried:
    """Scores of made-up images, and their maps, None where the model has none."""

    scores: np.ndarray
    maps: np.ndarray | None


def check(arithmetic: Arithmetic, graph: onnx.ModelProto) -> None:
    """NotExplainable where there is nothing that half precision would make quicker."""
    if arithmetic.quantised:
        raise NotExplainable("it computes with integers")
    weights = [tensor for tensor in graph.graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT]
    if not weights:
        raise NotExplainable("none of its weights is of single precision")
    if any(map(out_of_reach, weights)):
        raise NotExplainable("some of its weights lie outside the file, which is for models of more than 1 GiB")


def halved(graph: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph computed in half precision, between inputs and outputs as they were."""
    # Not above: it takes a tenth of a second, and few ask for it.
    from onnxruntime.transformers.float16 import convert_float_to_float16

    copy = onnx.ModelProto()
    copy.CopyFrom(brought_in(graph))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # numpy's, of weights that it then puts back into range
        return convert_float_to_float16(copy, keep_io_types=True, disable_shape_infer=True)


def drift(single: Tried, half: Tried) -> Drift:
    """How far apart the two are; NotExplainable where it is too far."""
    if not np.isfinite(half.scores).all():
        raise NotExplainable("its scores overflow")
    largest = float(np.abs(single.scores).max(initial=0)) or 1.0
    scores = float(np.abs(half.scores - single.scores).max(initial=0)) / largest
    maps = None if single.maps is None or half.maps is None else _correlation(single.maps, half.maps)
    if scores > MOST or (maps is not None and not maps >= LEAST):
        raise NotExplainable(
            f"scores move by {scores:.1%} of the largest, where {MOST:.0%} are taken, and the correlation of maps is "
            f"{maps or 0:.3f}, where it has to be {LEAST}"
        )
    return Drift(scores, maps, len(single.scores))


def _correlation(ours: np.ndarray, theirs: np.ndarray) -> float:
    """The smallest of an image's map with its twin; a map that is constant goes with constant ones alone."""
    pairs = zip(ours.reshape(len(ours), -1), theirs.reshape(len(theirs), -1), strict=True)
    return min(float(np.corrcoef(a, b)[0, 1] if a.std() and b.std() else a.std() == b.std()) for a, b in pairs)
