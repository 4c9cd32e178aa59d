"""From what was asked for to seeds: d(what is asked)/d(scores), one row an (image, target)."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from backlit_proto.errors import BadQuestion
from backlit_server.engine.questions import Wanted

NO_CLASS = -1


class Row(NamedTuple):
    """One heatmap to make: an image of the batch, the seed, and what the seed stands for.

    Most seeds are one number in one place of the scores: `places` (indices into the flat scores) and `values`.
    """

    image: int
    places: Sequence[int]
    values: Sequence[float]
    class_index: int
    score: float
    output: float


@dataclass(frozen=True)
class Classes:
    """How the scores (batch, classes) of a model are read as classes.

    `binary`: one score behind a sigmoid. Class 1 is that score, class 0 is minus it.
    """

    binary: bool

    def of(self, scores: np.ndarray) -> np.ndarray:
        """The scores a class, of one image."""
        return np.concatenate([-scores, scores]) if self.binary else scores

    def outputs(self, outputs: np.ndarray) -> np.ndarray:
        """The model's own outputs a class, of one image."""
        return np.concatenate([1 - outputs, outputs]) if self.binary else outputs

    def seed(self, index: int) -> tuple[Sequence[int], Sequence[float]]:
        """Places and values of the seed of one class."""
        return (0 if self.binary else index,), (-1.0 if self.binary and index == 0 else 1.0,)


def rows(wanted: Iterable[Wanted], scores: np.ndarray, outputs: np.ndarray, classes: Classes) -> list[Row]:
    """Every heatmap to make, images outer, targets inner; scores and outputs are (batch, ...)."""
    wanted = list(wanted)
    flat = outputs.reshape(len(outputs), -1) if outputs.size == scores.size else np.full_like(scores, np.nan)
    return [
        row
        for image in range(len(scores))
        for target in wanted
        for row in _rows(target, image, scores[image], flat[image], classes)
    ]


def _rows(wanted: Wanted, image: int, scores: np.ndarray, outputs: np.ndarray, classes: Classes) -> list[Row]:
    if isinstance(wanted, np.ndarray):
        return [_seeded(wanted, image, scores)]
    if scores.ndim != 1:
        raise BadQuestion(
            f"this model's scores are not one a class but {scores.shape} an image: send a seed of that shape"
        )
    by_class = classes.of(scores)
    indices = _top(wanted, by_class) if isinstance(wanted, str) else [_valid(wanted, len(by_class))]
    values = zip(indices, by_class[indices].tolist(), classes.outputs(outputs)[indices].tolist(), strict=True)
    return [Row(image, *classes.seed(i), i, score, output) for i, score, output in values]


def _seeded(seed: np.ndarray, image: int, scores: np.ndarray) -> Row:
    if seed.shape != scores.shape:
        raise BadQuestion(f"a seed has the shape of one row of the scores, {scores.shape}; this one has {seed.shape}")
    if not np.isfinite(seed).all():
        raise BadQuestion("the seed holds NaN or infinity")
    seed = seed.astype(scores.dtype)
    places = np.flatnonzero(seed)
    values = seed.ravel()[places]
    single = seed.ndim == 1 and len(places) == 1 and values[0] == 1
    index = int(places[0]) if single else NO_CLASS
    return Row(image, places.tolist(), values.tolist(), index, float((seed * scores).sum()), float("nan"))


def seeds(rows: Sequence[Row], shape: Sequence[int], dtype: np.dtype) -> np.ndarray:
    """The seeds of these rows (rows, *shape)."""
    made = np.zeros((len(rows), math.prod(shape)), dtype)
    for k, row in enumerate(rows):
        made[k, row.places] = row.values
    return made.reshape(len(rows), *shape)


def narrow_seeds(rows: Sequence[Row], dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """The classes that any of these seeds asks for, ascending, and the seeds (rows, classes asked for)."""
    classes = sorted({place for row in rows for place in row.places}) or [0]
    column = {place: k for k, place in enumerate(classes)}
    made = np.zeros((len(rows), len(classes)), dtype)
    for k, row in enumerate(rows):
        made[k, [column[place] for place in row.places]] = row.values
    return np.array(classes), made


def _top(wanted: str, scores: np.ndarray) -> list[int]:
    count = int(wanted.removeprefix("top"))
    if count > len(scores):
        raise BadQuestion(f"the top {count} classes of a model with {len(scores)}")
    if count == 1:
        return [int(scores.argmax())]
    best = np.argpartition(-scores, count - 1)[:count]
    return [int(i) for i in best[np.lexsort((best, -scores[best]))]]  # of equal ones the first


def _valid(index: int, count: int) -> int:
    if not 0 <= index < count:
        raise BadQuestion(f"there is no class {index}; this model has the classes 0 to {count - 1}")
    return index
