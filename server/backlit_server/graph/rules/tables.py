"""Rules and definitions of ai.onnx.ml: rows of a table, as models of scikit-learn have them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from backlit_proto.errors import NotDifferentiable
from backlit_server.graph.recording.sym import Array
from backlit_server.graph.rules.moves import moved


def array_feature_extractor(g: Array, y: Array, x: Array, places: Array) -> Array:
    """Columns of x, chosen by their numbers."""
    return moved("Gather")(g, y, x, places.reshape(-1), axis=-1)


def feature_vectorizer(g: Array, y: Array, *xs: Array, inputdimensions: list[int]) -> tuple[Array, ...]:
    """The columns of several tables, side by side."""
    if [x.shape[-1] for x in xs] != inputdimensions:
        raise NotDifferentiable("a FeatureVectorizer whose inputs are not known to be as wide as it says")
    parts = g.op("Split", inputdimensions, outputs=len(xs), axis=1) if len(xs) > 1 else (g,)
    return tuple(part.shaped_as(x) for part, x in zip(parts, xs, strict=True))


def imputer(g: Array, y: Array, x: Array, *, replaced_value_float: float = 0.0, **_: Any) -> Array:
    """What stands for a missing number is replaced by a constant."""
    missing = np.isnan(x) if np.isnan(replaced_value_float) else x == replaced_value_float
    return np.where(missing, 0, g)


def scaler(g: Array, y: Array, x: Array, *, scale: Sequence[float] | None = None, **_: Any) -> Array:
    """(x - offset) * scale."""
    return g if scale is None else g * g.lift(np.array(scale)).astype(g.dtype)


def normalizer(x: Array, *, norm: str) -> Array:
    """The definition: each row over its size. That of MAX is the largest number, not the largest absolute one."""
    size = SIZES[norm](x)
    return x / np.where(size == 0, 1, size)


SIZES: Mapping[str, Callable[[Array], Array]] = {
    "MAX": lambda x: x.max(-1, keepdims=True),
    "L1": lambda x: abs(x).sum(-1, keepdims=True),
    "L2": lambda x: np.sqrt((x * x).sum(-1, keepdims=True)),
}


def linear_regressor(x: Array, *, post_transform: str, targets: int, **weights: Any) -> Array:
    """The definition: one row of coefficients a target."""
    return _transformed(_scores(x, targets, **weights), post_transform)


def linear_classifier(x: Array, *, post_transform: str, coefficients: list[float], **more: Any) -> tuple[None, Array]:
    """The definition: the labels, which have no gradient, and the scores, one row of coefficients a class."""
    classes = len(more.get("classlabels_ints") or more.get("classlabels_strings") or ())
    columns = x.shape[-1]
    if not isinstance(columns, int) or classes * columns != len(coefficients):
        raise NotDifferentiable(
            "a LinearClassifier whose input is of unknown width, or that has fewer rows than classes"
        )
    return None, _transformed(_scores(x, classes, coefficients, more.get("intercepts")), post_transform)


def _scores(x: Array, rows: int, coefficients: Sequence[float], intercepts: Sequence[float] | None = None) -> Array:
    weights = x.lift(np.array(coefficients).reshape(rows, -1).T).astype(x.dtype)
    return x @ weights + (0 if not intercepts else x.lift(np.array(intercepts)).astype(x.dtype))


def _transformed(scores: Array, post_transform: str) -> Array:
    if post_transform not in TRANSFORMS:
        raise NotDifferentiable(f"the post_transform {post_transform} has no rule; there are {', '.join(TRANSFORMS)}")
    return TRANSFORMS[post_transform](scores)


TRANSFORMS: Mapping[str, Callable[[Array], Array]] = {
    "NONE": lambda scores: scores,
    "LOGISTIC": lambda scores: scores.op("Sigmoid"),
    "SOFTMAX": lambda scores: scores.op("Softmax"),
}
