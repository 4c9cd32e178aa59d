"""Perturbation by superpixels: parts of the image, alike in colour, of which any may be hidden."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated

import numpy as np

from backlit_proto.errors import BadQuestion
from backlit_server.methods.asking import Outcome, Partial, Scores, Steps, Superpixels, batches
from backlit_server.methods.estimates import ERROR, due, settled
from backlit_server.methods.filling import as_image, behind
from backlit_server.methods.head_probing import of_targets
from backlit_server.methods.masks import Probability
from backlit_server.methods.parameters import Array, Filling, Range, Seed, Tolerance
from backlit_server.methods.regression import Equations, no_equations

WIDTH = 0.25  # of LIME's kernel
Parts = Annotated[int, Range(2, 500)]
Samples = Annotated[int, Range(2, 100_000)]
Compactness = Annotated[float, Range(1e-3, 1e3)]
Penalty = Annotated[float, Range(0, 1e6)]


def kernel_shap(
    image: Array,
    seeds: Array,
    scores: Array,
    batch: int,
    *,
    segments: Parts = 50,
    compactness: Compactness = 20.0,
    samples: Samples = 1000,
    fill: Filling = 0.0,
    tolerance: Tolerance = 0.0,
    seed: Seed = 0,
) -> Steps:
    """KernelSHAP: each superpixel's Shapley value, its share of the difference to the image with all of them hidden.

    Coalitions are drawn as the Shapley kernel weighs them, each with its complement, and their scores fitted by least
    squares; where `samples` allow all coalitions, those are taken, weighed by the kernel, and the values are exact.
    Values add up to T(x) - T(fill). `standard error`: the largest of them. Lundberg and Lee, A Unified Approach to
    Interpreting Model Predictions, 2017, theorem 2; Covert and Lee, Improving KernelSHAP, 2021, section 4.
    """
    labels = yield Superpixels(image, segments, compactness)
    filling, players = as_image("fill", fill, image), int(labels.max()) + 1
    whole = of_targets(scores - (yield Scores(np.broadcast_to(filling, image.shape).copy())), seeds)[0]
    pairs, exact = _pairs(players, samples, seed)
    equations = no_equations(players - 1, len(seeds))
    for part in batches(pairs.count, max(1, batch // 2)):
        half, weights = pairs.take(part)
        masks = np.concatenate([half, 1 - half])[:, labels]
        found = of_targets((yield Scores(behind(masks, image, filling))), seeds).reshape(2, len(half), -1)
        equations = equations.with_rows(*_constrained(half, found[0] - found[1], whole), weights)
        if due(part, pairs.count):
            known = _shapley(equations, whole, labels, exact)
            yield Partial(known.heatmaps, part.stop / pairs.count, known.facts)
            if settled(known, 2 * part.stop, tolerance):
                break
    return _shapley(equations, whole, labels, exact)


def lime(
    image: Array,
    seeds: Array,
    probability: Probability,
    batch: int,
    *,
    segments: Parts = 50,
    compactness: Compactness = 20.0,
    samples: Samples = 1000,
    penalty: Penalty = 1.0,
    fill: Filling = 0.0,
    tolerance: Tolerance = 0.0,
    seed: Seed = 0,
) -> Steps:
    """LIME: the weight of each superpixel in a linear model of how likely the target is, near the image.

    Ridge regression over images of which each superpixel is hidden or not, a coin each; an image with the share s of
    them left weighs exp(-(1 - sqrt(s))^2 / (2 0.25^2)). `r2`: how well the linear model fits; `standard error`: the
    largest of the weights'. Ribeiro et al., "Why Should I Trust You?", 2016, eq. 2 and algorithm 1.
    """
    labels = yield Superpixels(image, segments, compactness)
    filling, players = as_image("fill", fill, image), int(labels.max()) + 1
    draw, equations = np.random.default_rng(seed), no_equations(players + 1, len(seeds))
    for part in batches(samples, batch):
        kept = (draw.random((part.stop - part.start, players)) < 0.5).astype(np.float32)
        kept[: part.start == 0] = 1  # the image itself comes first
        found = probability((yield Scores(behind(kept[:, labels], image, filling))), seeds)
        weights = np.exp(-((1 - np.sqrt(kept.mean(1))) ** 2) / (2 * WIDTH**2))
        equations = equations.with_rows(np.pad(kept, ((0, 0), (0, 1)), constant_values=1), found, weights)
        if due(part, samples):
            known = _linear(equations, penalty, labels)
            yield Partial(known.heatmaps, part.stop / samples, known.facts)
            if settled(known, part.stop, tolerance):
                break
    return _linear(equations, penalty, labels)


@dataclass(frozen=True)
class Pairs:
    """Coalitions (n, players) and their weights (n), some of `count`; the complement of each belongs to it."""

    count: int
    take: Callable[[slice], tuple[Array, Array]]


def _pairs(players: int, samples: int, seed: int) -> tuple[Pairs, bool]:
    """The pairs that so many samples allow, and whether they are all that there are."""
    every = 2 ** (players - 1) - 1
    if every <= samples // 2:
        return Pairs(every, partial(_all_pairs, players)), True
    if samples < 2 * players:
        raise BadQuestion(
            f"kernel-shap: samples is from {2 * players} to 100,000 for the {players} segments of this image, or they "
            f"cannot be told apart; got {samples}"
        )
    return Pairs(samples // 2, partial(_random_pairs, players, np.random.default_rng(seed))), False


def _all_pairs(players: int, part: slice) -> tuple[Array, Array]:
    """Those whose numbers, written in twos, leave the last player out."""
    half = np.arange(part.start + 1, part.stop + 1)[:, None] >> np.arange(players) & 1
    sizes = half.sum(1)
    return half.astype(np.float32), np.array([1 / (math.comb(players, s) * s * (players - s)) for s in sizes.tolist()])


def _random_pairs(players: int, draw: np.random.Generator, part: slice) -> tuple[Array, Array]:
    """Of random sizes, as likely as the Shapley kernel weighs all of a size together."""
    sizes = np.arange(1, players)
    likely = np.cumsum(1 / (sizes * (players - sizes)))
    drawn = draw.random((part.stop - part.start, players + 1))
    size = 1 + np.searchsorted(likely, drawn[:, :1] * likely[-1], side="right")
    half = drawn[:, 1:].argsort(1).argsort(1) < size
    return half.astype(np.float32), np.ones(len(half))


def _constrained(half: Array, difference: Array, whole: Array) -> tuple[Array, Array]:
    """Rows and values of the equations for all players but the last, whose value is what is left of the whole.

    A coalition less its complement is worth the sum of x_j phi_j, x_j 1 inside and -1 outside.
    """
    sides = 2 * half.astype(np.float64) - 1
    last = sides[:, -1:]
    return sides[:, :-1] - last, difference - last * whole


def _shapley(equations: Equations, whole: Array, labels: Array, exact: bool) -> Outcome:
    but_last, covariance = equations.solved(np.zeros(len(equations.gram)))
    values = np.concatenate([but_last, [whole - but_last.sum(0)]])
    if exact:
        return Outcome(values.T[:, labels], {ERROR: np.zeros(len(whole))})
    widest = max(covariance.diagonal().max(), covariance.sum())
    return Outcome(values.T[:, labels], {ERROR: np.sqrt(widest * equations.residuals(but_last))})


def _linear(equations: Equations, penalty: float, labels: Array) -> Outcome:
    by = np.full(len(equations.gram), penalty)
    by[-1] = 0  # the intercept is free
    solution, covariance = equations.solved(by)
    residuals = equations.residuals(solution)
    return Outcome(
        solution[:-1].T[:, labels],
        {ERROR: np.sqrt(covariance.diagonal()[:-1].max() * residuals), "r2": equations.explained(solution)},
    )
