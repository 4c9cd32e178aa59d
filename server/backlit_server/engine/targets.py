"""Rows and seeds: d(what is asked)/d(scores), one row an (image, target)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from backlit_proto import backlit_pb2 as pb
from backlit_server.engine.boxes import Convention
from backlit_server.graph.reading.scores import LOG_ODDS, PROBABILITY

NO_CLASS = -1
SCALES = {PROBABILITY: pb.Question.SCALE_PROBABILITY, LOG_ODDS: pb.Question.SCALE_LOG_ODDS}


@dataclass(frozen=True)
class Detection:
    """The anchor whose score is explained. `box`: x_min, y_min, x_max, y_max in pixels of what was sent."""

    anchor: int
    box: Sequence[float] = ()
    iou: float = 0
    convention: Convention | None = None


class Row(NamedTuple):
    """One heatmap to make: an image of the batch, the seed, and what the seed stands for.

    Most seeds are one number in one place of the scores: `places` (indices into the flat scores) and `values`.
    `of` is the tensor of the scores; `said` what is explained, in words, where it is not simply a class;
    `scale` is that of the scores.
    """

    image: int
    places: Sequence[int] | np.ndarray
    values: Sequence[float] | np.ndarray
    class_index: int
    score: float
    output: float
    of: str = ""
    said: str = ""
    detection: Detection | None = None
    scale: str = ""


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
        for place, value in zip(row.places, row.values, strict=True):  # mostly one: quicker than an array of indices
            made[k, column[place]] = value
    return np.array(classes), made


def resolve(told: pb.ResolvedTarget, row: Row) -> None:
    """Writes what was explained into an answer: a message filled in its place is three times as quick as one copied."""
    told.class_index, told.score, told.output, told.scores = row.class_index, row.score, row.output, row.of
    if row.said:
        told.description = row.said
    if row.scale:
        told.scale = SCALES[row.scale]
    if row.detection is not None:
        told.detection.CopyFrom(_told(row.detection))


def _told(found: Detection) -> pb.Detection:
    told = pb.Detection(anchor=found.anchor, iou=found.iou)
    if found.convention is not None:
        x_min, y_min, x_max, y_max = found.box
        told.box.CopyFrom(pb.Box(x_min=x_min, y_min=y_min, x_max=x_max, y_max=y_max))
        told.convention.CopyFrom(found.convention.message())
        told.convention_assumed = found.convention.assumed
    return told
