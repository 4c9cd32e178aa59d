"""Targets of segmentations: one score a class and place."""

from dataclasses import dataclass

import numpy as np

from backlit_proto.errors import BadQuestion, NotExplainable
from backlit_server.engine.targets import Row
from backlit_server.engine.views import View
from backlit_server.engine.wanted import Masked
from backlit_server.graph.reading.tasks import REGRESSION, SEGMENTATION


@dataclass(frozen=True)
class Places:
    """What a segmentation says of an image: `scores` (classes, height, width) and where each lies in the flat scores.

    `winners` (height, width) is the best class at each place; a single score behind a sigmoid speaks for class 1 where
    it is positive and for class 0 elsewhere.
    """

    view: View
    scores: np.ndarray
    places: np.ndarray

    @property
    def single(self) -> bool:
        return len(self.scores) == 1

    @property
    def winners(self) -> np.ndarray:
        return (self.scores[0] > self.view.about.even).astype(np.int64) if self.single else self.scores.argmax(0)

    def over(self, index: int, weights: np.ndarray, total: bool, where: str) -> Row:
        """The row of a class over a mask (height, width)."""
        count = 2 if self.single else len(self.scores)
        if not 0 <= index < count:
            raise BadQuestion(f"there is no class {index}; this model has the classes 0 to {count - 1}")
        channel, sign = (0, 1 if index else -1) if self.single else (index, 1)
        inside = np.flatnonzero(weights)
        values = sign * weights.reshape(-1)[inside].astype(np.float64)
        values = values if total else values / weights.sum(dtype=np.float64)
        said = f"the {'sum' if total else 'mean'} of class {index} over {where}"
        made = self.view.row(self.places[channel].reshape(-1)[inside], values, said=said)
        score = made.score if sign > 0 else made.score - 2 * self.view.about.even * float(values.sum())
        return made._replace(class_index=index, score=score)


def places(view: View) -> Places:
    """The view as a segmentation's; NotExplainable where it is none."""
    axes = view.about.task.axes
    if view.about.task.kind not in (SEGMENTATION, REGRESSION) or len(axes) != 3 or view.scores.ndim != 3:
        raise NotExplainable(
            f"the scores {view.about.name!r} {view.scores.shape} are not one a class and place: a mask has no meaning"
        )
    order = [axes.index(axis) for axis in "CHW"]
    where = np.arange(view.scores.size).reshape(view.scores.shape)
    return Places(view, view.scores.transpose(order), where.transpose(order))


def where_it_wins(index: int, view: View) -> Row:
    """The mean score of a class over the places where it wins."""
    return masked(Masked(index, None, total=False), view)


def dominant_classes(count: int, view: View) -> list[Row]:
    """The classes that win most places, each over those places."""
    found = places(view)
    won = np.bincount(found.winners.reshape(-1))
    order = np.argsort(-won, kind="stable")[:count]
    if len(order) < count or not won[order[-1]]:
        raise BadQuestion(f"the top {count} classes of an image in which {np.count_nonzero(won)} win any place")
    return [where_it_wins(int(index), view) for index in order]


def masked(wanted: Masked, view: View) -> Row:
    """A class over a mask."""
    found = places(view)
    if wanted.weights is None:
        index = _dominant(found, np.ones_like(found.winners)) if wanted.class_index is None else wanted.class_index
        won = found.winners == index
        if not won.any():
            seen = ", ".join(map(str, np.unique(found.winners)[:10]))
            raise BadQuestion(f"class {index} wins no place of this image (there: {seen}); send a mask of places")
        return found.over(index, won, wanted.total, f"the {won.sum()} places where it wins")
    weights = _checked(wanted.weights, found)
    index = _dominant(found, weights) if wanted.class_index is None else wanted.class_index
    return found.over(index, weights, wanted.total, f"a mask of {np.count_nonzero(weights)} places")


def everywhere(view: View) -> Row:
    """The mean of all values."""
    count = view.scores.size
    return view.row(np.arange(count), np.full(count, 1 / count), said=f"the mean of the output over {count} places")


def _dominant(found: Places, weights: np.ndarray) -> int:
    return int(np.bincount(found.winners.reshape(-1), weights.reshape(-1)).argmax())


def _checked(weights: np.ndarray, found: Places) -> np.ndarray:
    if weights.shape != found.winners.shape:
        raise BadQuestion(f"a mask has the height and width of the scores, {found.winners.shape}; got {weights.shape}")
    weights = weights.astype(np.float64)
    if not np.isfinite(weights).all() or (weights < 0).any() or not weights.any():
        raise BadQuestion("a mask is finite, nowhere negative and not zero everywhere")
    return weights
