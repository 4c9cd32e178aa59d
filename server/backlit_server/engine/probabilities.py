"""From scores to probabilities, as the model itself goes on or, where it ends in scores, as its task has it."""

from collections.abc import Callable

import numpy as np

from backlit_server.graph import Scores
from backlit_server.graph.reading.scores import LOG_ODDS, PROBABILITY
from backlit_server.graph.reading.tasks import CLASSIFICATION

Array = np.ndarray


def probability_of(about: Scores) -> Callable[[Array, Array], Array]:
    """From scores (n, *scores) and seeds (targets, *scores) to what seeds ask of the probabilities: (n, targets).

    Of one class that is its probability, of one class minus another the difference of theirs. One score that speaks for
    class 1 speaks against class 0, whose seed is -1.
    """
    activate = activation_of(about)
    classes = 1 + max(0, about.task.axes.find("C"))

    def of_one_score(scores: Array, seeds: Array) -> Array:
        against = seeds.reshape(1, len(seeds)) < 0
        return activate(
            scores.reshape(len(scores), 1) @ seeds.reshape(len(seeds), 1).T + 2 * about.even * against, classes
        )

    def of_scores(scores: Array, seeds: Array) -> Array:
        return activate(scores, classes).reshape(len(scores), -1) @ seeds.reshape(len(seeds), -1).T

    return of_one_score if about.binary else of_scores


def probabilities_of(about: Scores) -> Callable[[Array], Array]:
    """From scores (n, *scores) to all probabilities (n, scores)."""
    activate, classes = activation_of(about), 1 + max(0, about.task.axes.find("C"))
    return lambda scores: activate(scores, classes).reshape(len(scores), -1)


def activation_of(about: Scores) -> Callable[[Array, int], Array]:
    """From scores to probabilities of the same shape; classes are along the axis that it is told."""
    return ACTIVATIONS[SCALES[about.scale] if about.scale else about.activation or _usual(about)]


def _usual(about: Scores) -> str:
    """What would stand behind scores in which the file ends: one score is told apart by its sign, several compete."""
    if about.task.kind != CLASSIFICATION:
        return ""
    return "Sigmoid" if about.shape[-1] == 1 else "Softmax"


def _softmax(scores: Array, axis: int) -> Array:
    raised = np.exp(scores - scores.max(axis, keepdims=True))
    return raised / raised.sum(axis, keepdims=True)


def _sigmoid(scores: Array, axis: int) -> Array:
    return 0.5 * (1 + np.tanh(0.5 * scores))


SCALES = {PROBABILITY: "", LOG_ODDS: "Sigmoid"}
"""What leads from scores on a scale to probabilities."""
ACTIVATIONS: dict[str, Callable[[Array, int], Array]] = {
    "": lambda scores, axis: scores,
    "Softmax": _softmax,
    "LogSoftmax": _softmax,
    "Sigmoid": _sigmoid,
}
