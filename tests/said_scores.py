"""Scores of a made-up task, and a view of them, for targets to be resolved in."""

import numpy as np

from backlit_server.engine.boxes import Convention
from backlit_server.engine.frames import Frame
from backlit_server.engine.target_kinds import rows
from backlit_server.engine.targets import Row
from backlit_server.engine.views import View, views
from backlit_server.engine.wanted import (
    Wanted,
)
from backlit_server.graph import Scores
from backlit_server.graph.reading.tasks import Task

SIZE = (80, 100)  # of the input


def about(task: str, axes: str = "", activation: str = "", **known) -> Scores:
    binary = known.pop("binary", False)
    return Scores("y", "float32", (), "y", activation, "y", binary, "", Task(task, axes, "it is so", **known))


def seen(scores: np.ndarray, said: Scores, told: Convention | None = None, **beside: np.ndarray) -> View:
    (view,) = views({"y": scores[None], **beside}, said, lambda _: Frame((0, 0), (1, 1), SIZE), told or Convention())
    return view


def one(wanted: Wanted, view: View) -> Row:
    (row,) = rows([wanted], [view])
    return row
