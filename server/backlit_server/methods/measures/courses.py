"""Insertion and deletion: how the score goes as pixels appear or vanish, the most relevant ones first."""

from collections.abc import Callable
from typing import Annotated

import numpy as np

from backlit_server.methods.asking import Array, Scores, batches
from backlit_server.methods.measures.masking import blended, filled
from backlit_server.methods.measures.measuring import Fill, Measured, Measuring, Score, Subject
from backlit_server.methods.parameters import Range
from backlit_server.methods.scaling import resize

Steps = Annotated[int, Range(1, 10_000)]


def insertion(of: Subject, *, steps: Steps = 20, fill: Fill = "blur", score: Score = "probability") -> Measuring:
    """Insertion: the mean rating while the pixels appear, the most relevant first.

    The area under the curve over the share of pixels, by trapezoids. Petsiuk et al., RISE, 2018, section 4.2, who go a
    row of pixels a step (steps=224 for their images). Equally relevant pixels come in their order.
    """
    places = ranked(of)
    return (yield from _course(of, lambda share: places < share * places.size, filled(of, fill), steps, score))


def deletion(of: Subject, *, steps: Steps = 20, fill: Fill = "zero", score: Score = "probability") -> Measuring:
    """Deletion: the mean rating while the pixels vanish, the most relevant first.

    As insertion, the other way. Petsiuk et al., RISE, 2018, section 4.2.
    """
    places = ranked(of)
    return (yield from _course(of, lambda share: places >= share * places.size, filled(of, fill), steps, score))


def _course(of: Subject, shown: Callable[[Array], Array], hidden: Array, steps: int, score: Score) -> Measuring:
    """The rating of the image at each step, of which `shown` tells the pixels by the share that has passed."""
    curve = np.zeros(steps + 1)
    for part in batches(steps + 1, of.batch):
        shares = np.arange(part.start, part.stop)[:, None, None] / steps
        curve[part] = of.rated((yield Scores(blended(of, hidden, shown(shares)))), score)
    return Measured(float((curve[1:] + curve[:-1]).mean() / 2), curve=tuple(curve.tolist()))


def ranked(of: Subject) -> Array:
    """The place of each pixel (H, W) when the most relevant come first, from 0."""
    order = np.argsort(-resize(of.heatmap, of.size), None, kind="stable")
    places = np.empty(of.size, int)
    places.flat[order] = np.arange(order.size)
    return places
