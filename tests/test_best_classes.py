"""The best classes, best first, whatever the scores are: equal, not finite, whole numbers."""

import numpy as np
import pytest

from backlit_server.engine.boxes import Convention
from backlit_server.engine.frames import Frame
from backlit_server.engine.target_kinds import rows
from backlit_server.engine.views import views
from backlit_server.graph import Scores
from backlit_server.graph.reading.tasks import Task

NEVER = -np.inf
CASES = {
    "plain": ([0.5, 3.0, -1.0, 2.0], 3, [1, 3, 0]),
    "of equal ones the first": ([2.0, 2.0, 1.0, 2.0], 3, [0, 1, 3]),
    "classes that are ruled out come last": ([1.0, NEVER, NEVER, 3.0], 4, [3, 0, 1, 2]),
    "all ruled out": ([NEVER, NEVER, NEVER], 2, [0, 1]),
    "whole numbers": (np.array([0, 255, 1], np.uint8), 2, [1, 2]),
    "nothing is known": ([np.nan, np.nan, np.nan], 2, [0, 1]),
}


@pytest.mark.parametrize(("scores", "count", "expected"), CASES.values(), ids=CASES.keys())
def test_best_classes(scores, count, expected):
    about = Scores("y", "float32", (), "y", "", "y", False, "", Task("classification", "C", "it is so"))
    made = {"y": np.asarray(scores)[None]}
    found = rows([f"top{count}"], views(made, about, lambda _: Frame((0, 0), (1, 1), (2, 2)), Convention()))
    assert [row.class_index for row in found] == expected
