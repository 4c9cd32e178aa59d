"""ROAD: pixels are removed and made up from their neighbours, so that no hole tells where they were."""

from typing import Annotated

import numpy as np

from backlit_server.methods.asking import Array, Scores, batches
from backlit_server.methods.measures.courses import ranked
from backlit_server.methods.measures.imputation import imputed
from backlit_server.methods.measures.measuring import Each, Measured, Measuring, Score, Share, Subject
from backlit_server.methods.parameters import Range, Seed

Shares = Annotated[tuple[float, ...], Each(Range(0, 1))]
SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def road(
    of: Subject,
    *,
    shares: Shares = SHARES,
    noise: Share = 0.01,
    seed: Seed = 0,
    score: Score = "probability",
) -> Measuring:
    """ROAD: the mean rating without the least relevant pixels, less that without the most relevant ones, halved.

    Removed pixels are made up by noisy linear imputation; `facts` holds both means ("most relevant removed" and "least
    relevant removed"), the curve their difference at each share. Rong et al., A Consistent and Efficient Evaluation
    Strategy for Attribution Methods, 2022; joined in one number as pytorch-grad-cam's ROADCombined does.
    """
    draw, places = np.random.default_rng(seed), ranked(of)
    removed = [order < share * order.size for order in (places, places.size - 1 - places) for share in shares]
    ratings = np.zeros(len(removed))
    for part in batches(len(removed), of.batch):
        ratings[part] = of.rated((yield Scores(without(of.image, np.stack(removed[part]), noise, draw))), score)
    most, least = ratings.reshape(2, -1)
    facts = {"most relevant removed": float(most.mean()), "least relevant removed": float(least.mean())}
    return Measured(float((least - most).mean() / 2), facts, tuple(((least - most) / 2).tolist()))


def without(image: Array, removed: Array, noise: float, draw: np.random.Generator) -> Array:
    """The image (1, channels, H, W) without the pixels of each mask (n, H, W), made up with noise of its span."""
    known = ~removed[:, None]
    images = np.repeat(image, len(removed), 0)
    made = imputed(images, known.astype(image.dtype)) + draw.normal(scale=noise * np.ptp(image), size=images.shape)
    return np.where(known, images, made).astype(image.dtype)
