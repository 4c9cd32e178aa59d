"""Targets of classifiers: one score a class."""

import numpy as np

from backlit_proto.errors import BadQuestion
from backlit_server.engine.targets import Row
from backlit_server.engine.views import View


def one_class(index: int, view: View) -> Row:
    """A class. Where one score stands behind a sigmoid, class 1 is that score and class 0 minus it."""
    count = len(_by_class(view))
    if not 0 <= index < count:
        raise BadQuestion(f"there is no class {index}; this model has the classes 0 to {count - 1}")
    (row,) = _rows([index], view)
    return row


def best_classes(count: int, view: View) -> list[Row]:
    """The best classes, best first; of equal ones the first."""
    scores = _by_class(view)
    if count > len(scores):
        raise BadQuestion(f"the top {count} classes of a model with {len(scores)}")
    left, best = scores.astype(np.float64), []
    for _ in range(count):  # for a handful much quicker than to sort them all
        best.append(int(left.argmax()))
        left[best[-1]] = -np.inf
    if len({*best}) < count:  # scores of minus infinity look as if they were taken
        best = [*dict.fromkeys([*best, *range(len(scores))])][:count]
    return _rows(best, view)


def all_classes(view: View) -> tuple[np.ndarray, np.ndarray]:
    """The scores of all classes, and the model's own outputs for them."""
    return _by_class(view), _outputs(view)


def _by_class(view: View) -> np.ndarray:
    scores = view.scores.reshape(-1)
    return np.concatenate([2 * view.about.even - scores, scores]) if view.about.binary else scores


def _outputs(view: View) -> np.ndarray:
    return np.concatenate([1 - view.outputs, view.outputs]) if view.about.binary else view.outputs


def _rows(indices: list[int], view: View) -> list[Row]:
    values = zip(indices, _by_class(view)[indices].tolist(), _outputs(view)[indices].tolist(), strict=True)
    return [Row(view.image, *_seed(i, view), i, score, output, view.about.name) for i, score, output in values]


def _seed(index: int, view: View) -> tuple[tuple[int], tuple[float]]:
    """Places and values of the seed of one class."""
    return (0 if view.about.binary else index,), (-1.0 if view.about.binary and index == 0 else 1.0,)
