"""Whether the values of the heatmap are what they claim to be: shares of the score."""

from typing import Annotated

import numpy as np

from backlit_server.methods.asking import Scores, batches
from backlit_server.methods.measures.drops import TINY
from backlit_server.methods.measures.masking import blended, filled
from backlit_server.methods.measures.measuring import Fill, Measured, Measuring, Score, Share, Subject
from backlit_server.methods.parameters import Range, Seed
from backlit_server.methods.scaling import resize

Samples = Annotated[int, Range(1, 10_000)]


def completeness(of: Subject, *, fill: Fill = "zero") -> Measuring:
    """Completeness: how far the sum of the heatmap is from the score that the image adds to what is filled, relative.

    |sum - (T(x) - T(x'))| / |T(x) - T(x')| with T the score before a softmax and x' filled all over; 0 is complete.
    Sundararajan et al., Axiomatic Attribution for Deep Networks, 2017, proposition 1.
    """
    baseline = yield Scores(filled(of, fill))
    difference = float(of.rated(of.scores, "score")[0] - of.rated(baseline, "score")[0])
    total = float(of.heatmap.sum(dtype=np.float64))
    return Measured(abs(total - difference) / max(abs(difference), TINY), {"sum": total, "difference": difference})


def infidelity(
    of: Subject,
    *,
    samples: Samples = 64,
    patch: Share = 0.25,
    fill: Fill = "zero",
    seed: Seed = 0,
    score: Score = "score",
) -> Measuring:
    """Infidelity: how far the heatmap's sums over random squares are from what the rating loses without them, squared.

    mean (b M - D)^2 over squares, M the sum of the heatmap, D the loss, b the best scale of all. Yeh et al., On the
    (In)fidelity and Sensitivity of Explanations, 2019, eq. 1 with square removal; scaled and summed as captum does for
    maps that are shares of the score. `relative` in facts: over mean D^2; 0 is perfect, at 1 the map explains nothing.
    """
    squares = _squares(np.random.default_rng(seed), samples, of.size, patch)
    heat, hidden = resize(of.heatmap, of.size).astype(np.float64), filled(of, fill)
    whole, lost = of.rated(of.scores, score)[0], np.zeros(samples)
    for part in batches(samples, of.batch):
        lost[part] = whole - of.rated((yield Scores(blended(of, hidden, ~squares[part]))), score)
    told = (squares * heat).sum((1, 2))
    scale = (told * lost).sum() / max((told**2).sum(), TINY)
    found, most = float(((scale * told - lost) ** 2).mean()), float((lost**2).mean())
    return Measured(found, {"scale": float(scale), "relative": found / max(most, TINY)})


def _squares(draw: np.random.Generator, count: int, size: tuple[int, int], patch: float) -> np.ndarray:
    """Masks (count, H, W) of squares somewhere in the image, whose side is a share of the shorter one."""
    side = max(1, round(patch * min(size)))
    corners = draw.integers(0, [size[0] - side + 1, size[1] - side + 1], (count, 2))
    rows, columns = (
        (np.arange(n) >= c[:, None]) & (np.arange(n) < c[:, None] + side) for n, c in zip(size, corners.T, strict=True)
    )
    return rows[:, :, None] & columns[:, None, :]
