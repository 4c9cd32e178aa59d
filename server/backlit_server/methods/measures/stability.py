"""What becomes of the heatmap when the image or the model is another."""

from typing import Annotated, Literal

import numpy as np

from backlit_server.methods.asking import Array, Scores, batches
from backlit_server.methods.measures.drops import TINY
from backlit_server.methods.measures.masking import Normalisation, mask_of, masked
from backlit_server.methods.measures.measuring import (
    Each,
    Fill,
    Heatmaps,
    Measured,
    Measuring,
    Score,
    Share,
    ShuffledHeatmap,
    Subject,
)
from backlit_server.methods.parameters import Range, Seed

Samples = Annotated[int, Range(1, 10_000)]
Layers = Annotated[tuple[int, ...], Each(Range(1, 10_000))]
Sign = Literal["signed", "absolute"]


def max_sensitivity(of: Subject, *, radius: Share = 0.02, samples: Samples = 10, seed: Seed = 0) -> Measuring:
    """Max-sensitivity: the most that the heatmap changes, relative to it, when each pixel changes a little at random.

    max |M(x + d) - M(x)| / |M(x)|, every d uniform within the radius, a share of the image's span. Yeh et al., On the
    (In)fidelity and Sensitivity of Explanations, 2019, eq. 7; estimated by sampling as there.
    """
    draw, reach = np.random.default_rng(seed), radius * float(np.ptp(of.image))
    changes = np.zeros(samples)
    for part in batches(samples, of.batch):
        noise = draw.uniform(-reach, reach, (part.stop - part.start, *of.image.shape[1:]))
        found = yield Heatmaps((of.image + noise).astype(of.image.dtype))
        changes[part] = np.linalg.norm((found - of.heatmap).reshape(len(found), -1), axis=1)
    changes /= max(float(np.linalg.norm(of.heatmap)), TINY)
    return Measured(float(changes.max()), {"mean": float(changes.mean())})


def adcc(
    of: Subject, *, fill: Fill = "zero", normalisation: Normalisation = "relu", score: Score = "probability"
) -> Measuring:
    """ADCC: average drop, coherency and complexity in one number between 0 and 1, their harmonic mean.

    3 / (1 / coherency + 1 / (1 - complexity) + 1 / (1 - average drop)), all three in facts: coherency is the
    correlation of the map with that of the image behind it, moved to 0..1, complexity the mean of the map scaled to
    0..1. Poppi et al., Revisiting the Evaluation of Class Activation Mapping for Explainability, 2021, section 3.
    """
    image = masked(of, 1, fill, normalisation)
    before, after = of.rated(of.scores, score)[0], of.rated((yield Scores(image)), score)[0]
    again = yield Heatmaps(image)
    coherency = (1 + correlation(of.heatmap, again[0])) / 2
    complexity = float(mask_of(of.heatmap, of.heatmap.shape, normalisation).mean())
    drop = float(max(0.0, before - after) / max(abs(before), TINY))
    facts = {"coherency": coherency, "complexity": complexity, "average drop": drop}
    terms = coherency, 1 - complexity, 1 - drop
    return Measured(3 / sum(1 / term for term in terms) if min(terms) > TINY else 0.0, facts)


def randomisation(of: Subject, *, layers: Layers = (1, 2, 4, 8), values: Sign = "signed", seed: Seed = 0) -> Measuring:
    """Model randomisation: how alike the heatmap stays when the last layers of weights are shuffled, one after another.

    The mean rank correlation of the heatmap with those by models whose last 1, 2, 4, ... layers have their weights
    shuffled; the curve has one for each. Near 1: the map does not show what the model has learnt. Adebayo et al.,
    Sanity Checks for Saliency Maps, 2018, section 3, cascading randomisation from the scores down.
    """
    curve = []
    for count in layers:
        found = yield ShuffledHeatmap(of.image, count, seed)
        curve.append(correlation(ranks(SIGNS[values](of.heatmap)), ranks(SIGNS[values](found[0]))))
    return Measured(float(np.mean(curve)), curve=tuple(curve))


def correlation(a: Array, b: Array) -> float:
    """Pearson's, between -1 and 1; 0 where one of them is constant."""
    a, b = (x.astype(np.float64).ravel() - x.mean(dtype=np.float64) for x in (a, b))
    both = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / both if both > TINY else 0.0


def ranks(heatmap: Array) -> Array:
    """The place of each value in ascending order, equal ones sharing the mean of theirs."""
    _, which, counts = np.unique(heatmap, return_inverse=True, return_counts=True)
    last = counts.cumsum()
    return (last - (counts - 1) / 2)[which].reshape(heatmap.shape)


SIGNS = {"signed": lambda heatmap: heatmap, "absolute": abs}
