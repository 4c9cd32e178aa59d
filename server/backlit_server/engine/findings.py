"""All that a detector finds in several images: boxes and probabilities."""

from collections.abc import Mapping, Sequence

import numpy as np

from backlit_proto.errors import NotExplainable
from backlit_server.engine.boxes import Convention, corners
from backlit_server.engine.detection import SOFTMAX
from backlit_server.engine.probabilities import activation_of
from backlit_server.engine.targets import Row
from backlit_server.graph import Scores

Array = np.ndarray
Made = Mapping[str, Array]


def anchors_of(asked: Sequence[Row]) -> Array:
    """The anchor of each target; NotExplainable where one is no box."""
    found = [row.detection for row in asked if row.detection and row.detection.convention]
    if len(found) < len(asked):
        raise NotExplainable(
            "d-rise follows boxes: ask for the top k, a class, a box, a detection, or an element of the scores"
        )
    return np.array([detection.anchor for detection in found])


def findings(about: Scores, made: Made, own: Made, row: Row, size: tuple[int, int]) -> tuple[Array, Array]:
    """Boxes (n, anchors, 4) as corners in pixels of an input of this size, and probabilities (n, anchors, classes).

    `made` are the tensors of the images, `own` those of the image itself, whose boxes are read as `row` says. Of
    classes that compete, the one that most anchors of the image itself choose is the background, and left out.
    """
    assert row.detection is not None
    assert row.detection.convention is not None
    chances = activation_of(about)(_by_anchor(about, made[about.name]), 2)
    if about.activation in SOFTMAX:
        background = np.bincount(_by_anchor(about, own[about.name])[0].argmax(1)).argmax()
        chances = np.delete(chances, background, 2)
    return _corners(made[about.task.boxes], chances.shape[1], row.detection.convention, size), chances


def _by_anchor(about: Scores, scores: Array) -> Array:
    return scores if about.task.axes == "AC" else scores.transpose(0, 2, 1)


def _corners(written: Array, anchors: int, convention: Convention, size: tuple[int, int]) -> Array:
    written = written if written.shape[1] == anchors else written.transpose(0, 2, 1)
    return corners(written.reshape(-1, 4), convention, size).reshape(written.shape)
