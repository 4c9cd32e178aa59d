"""A head that is asked with made-up features."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from onnx import ModelProto, TensorProto, helper
from onnx.reference import ReferenceEvaluator

from backlit_server.graph.recording.kinds import Kind
from backlit_server.graph.spelling.elsewhere import brought_in, out_of_reach

OPEN_SIZE = 7  # height or width where the file leaves it open
ODD = 3  # rows, to see whether they stay rows
PIECE = 1 << 22  # elements that go through the head at once
# By type: how far a channel is lifted (a power of two, large enough for b not to blur W), and the error allowed.
PRECISION: dict[int, tuple[float, float]] = {
    TensorProto.FLOAT: (1024.0, 1e-4),
    TensorProto.DOUBLE: (1024.0, 1e-9),
    TensorProto.FLOAT16: (16.0, 2e-2),
}


@dataclass(frozen=True)
class Probe:
    """A head with one input. `axes` names the axes of its features, `shape` are their sizes, rows of one run first.

    `tiles`: whether a run may have fewer rows than that.
    """

    session: ReferenceEvaluator
    name: str
    axes: str
    shape: tuple[int, ...]
    dtype: np.dtype
    tiles: bool
    lift: float
    tolerance: float

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Scores (rows, classes) in double precision."""
        rows = self.shape[0]
        return _joined([self._run(features[k : k + rows]) for k in range(0, len(features), rows)])

    def mean(self, features: np.ndarray) -> np.ndarray:
        """The mean over the places, whose axes stay as axes of one."""
        spatial = tuple(k for k, axis in enumerate(self.axes) if axis in "HWT")
        return features.mean(spatial, np.float64, keepdims=True)

    def same(self, got: np.ndarray, expected: np.ndarray) -> bool:
        """Whether two sets of scores differ by no more than rounding explains."""
        return bool(np.abs(got - expected).max() <= self.tolerance * np.abs(got).max())

    def bias(self) -> np.ndarray:
        """The scores (classes,) of nothing at all."""
        return self(np.zeros((1, *self.shape[1:]), self.dtype))[0]

    def weights(self, bias: np.ndarray) -> np.ndarray:
        """How the scores (channels, classes) answer to each channel."""
        axis, rows = self.axes.index("C"), self.shape[0]
        count = self.shape[axis]
        answers = []
        for start in range(0, count, rows):
            features = np.zeros((min(rows, count - start), *self.shape[1:]), self.dtype)
            for k, channels in enumerate(np.moveaxis(features, axis, 1)):
                channels[start + k] = self.lift
            answers.append(self(features))
        found = _joined(answers)
        found -= bias  # in place, as what follows: of 1,280 channels and 1,000 classes it is 10 MB
        found /= self.lift
        return found

    def _run(self, features: np.ndarray) -> np.ndarray:
        count, rows = len(features), self.shape[0]
        if count < rows and not self.tiles:
            features = np.concatenate([features, np.zeros((rows - count, *features.shape[1:]), self.dtype)])
        (scores,) = self.session.run(None, {self.name: features})
        return np.asarray(scores).reshape(len(features), -1)[:count].astype(np.float64)


def _joined(answers: Sequence[np.ndarray]) -> np.ndarray:
    return answers[0] if len(answers) == 1 else np.concatenate(answers)


def _keeps_rows(session: ReferenceEvaluator, name: str, features: np.ndarray) -> bool:
    (scores,) = session.run(None, {name: features})
    return np.shape(scores)[:1] == (len(features),)


def probe(head: ModelProto, kind: Kind, axes: str, rows_tile: bool) -> Probe | None:
    """The head ready to be asked; None where type, rank or channels leave no question to ask.

    Nor is there one where rows do not stay rows, or the weights are so large that they lie outside the model.
    """
    sizes = dict(zip(axes, kind.shape or (), strict=False))
    if kind.dtype not in PRECISION or len(kind.shape or ()) != len(axes) or isinstance(sizes["C"], str):
        return None
    shape = tuple(OPEN_SIZE if isinstance(size, str) else size for size in kind.shape or ())[1:]
    fixed = 1 if isinstance(sizes["N"], str) else sizes["N"]
    rows = max(1, min(sizes["C"], PIECE // math.prod(shape))) if rows_tile else fixed
    # onnx's own evaluator: small heads need no threads, and it leaves ONNX Runtime's pools alone.
    if any(map(out_of_reach, head.graph.initializer)):
        return None
    session, dtype = ReferenceEvaluator(brought_in(head)), helper.tensor_dtype_to_np_dtype(kind.dtype)
    name = head.graph.input[0].name
    if rows_tile and not _keeps_rows(session, name, np.zeros((ODD, *shape), dtype)):
        return None
    return Probe(session, name, axes, (rows, *shape), dtype, rows_tile, *PRECISION[kind.dtype])
