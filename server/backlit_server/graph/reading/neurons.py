"""Any tensor as scores: its elements are neurons, and its channels what they are told apart by."""

from dataclasses import replace

from backlit_server.graph.reading.scores import Scores
from backlit_server.graph.reading.tasks import NEURONS, Task
from backlit_server.graph.reading.view import View

VECTOR = 2  # axes: images and channels


def as_neurons(scores: Scores, view: View | None) -> Scores:
    """These scores with neurons as their task; the axes are those of a map or of tokens, or the one of a vector."""
    axes = "C" if len(scores.shape) == VECTOR else ""
    if view is not None and "(" not in view.axes:
        axes = view.roles[1:]
    return replace(scores, task=Task(NEURONS, axes, "a tensor that a question looks at"), binary=False)
