"""A linear model of four classes on one small image, and measures of heatmaps of it."""

from collections.abc import Callable
from typing import Any

import numpy as np

from backlit_server.methods.asking import Scores, drive
from backlit_server.methods.measures import MEASURES, bind_measure
from backlit_server.methods.measures.measuring import Effort, Heatmaps, Measured, ShuffledHeatmap, Subject

rng = np.random.default_rng(11)
SIZE = 12, 16
X = rng.random((1, 3, *SIZE))
W = rng.normal(size=(4, 3, *SIZE)) / 30
SEED = np.eye(4)[1]
SHARES = (W[1] * X[0]).sum(0)  # what each pixel adds to the score of class 1: the perfect map of a linear model


def linear(images: np.ndarray) -> np.ndarray:
    return np.einsum("kchw,nchw->nk", W, images)


def softmax(scores: np.ndarray) -> np.ndarray:
    return np.exp(scores) / np.exp(scores).sum(1, keepdims=True)


def subject(heatmap: np.ndarray, batch: int = 5) -> Subject:
    return Subject(
        heatmap=heatmap,
        image=X,
        seed=SEED,
        scores=linear(X),
        rated=lambda scores, score: (softmax(scores) if score == "probability" else scores) @ SEED,
        black=lambda: np.array([-1.0, -2.0, -3.0])[:, None, None],
        located=lambda box: box,
        batch=batch,
        effort=Effort(7, 2, 3, 0.5),
    )


def gradient_maps(ask: Any) -> np.ndarray:
    """A method whose map of an image is what each pixel adds; shuffled weights are the negative ones."""
    if isinstance(ask, Scores):
        return linear(ask.images)
    if isinstance(ask, ShuffledHeatmap):
        return -SHARES[None] if ask.layers > 2 else SHARES[None]
    assert isinstance(ask, Heatmaps)
    return (W[1] * ask.images).sum(1)


def measured(
    name: str, heatmap: np.ndarray, answer: Callable[[Any], np.ndarray] = gradient_maps, **parameters
) -> Measured:
    *_, last = drive(MEASURES[name].measure(subject(heatmap), **bind_measure(name, parameters)), answer)
    assert isinstance(last, Measured)
    return last
