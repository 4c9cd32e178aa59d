"""Perturbation by masks that a layer makes, weighed by all that the model says behind them: SIDU."""

from collections.abc import Callable
from typing import Annotated

import numpy as np

from backlit_proto.errors import NotExplainable
from backlit_server.methods.asking import Outcome, Partial, Scores, Steps, batches
from backlit_server.methods.estimates import due
from backlit_server.methods.filling import as_image, behind
from backlit_server.methods.masks import weighted_masks
from backlit_server.methods.parameters import Array, Filling, Range
from backlit_server.methods.scaling import resize

WIDTH = 0.25  # sigma of the similarity, as in the paper
MOST_BYTES = 1 << 30  # of all that the model says
Threshold = Annotated[float, Range(-1e6, 1e6)]


def sidu(
    image: Array,
    features: Array,
    seeds: Array,
    scores: Array,
    probabilities: Callable[[Array], Array],
    batch: int,
    *,
    threshold: Threshold = 0.1,
    fill: Filling = 0.0,
) -> Steps:
    """SIDU: the active places of each map, summed with how like the whole image and how unlike each other they are.

    sum_i SD_i U_i B_i, B_i = A_i > threshold. P_i are the probabilities of all classes of the image behind up(B_i), P
    those of the image; SD_i = exp(-|P_i - P|^2 / (2 sigma^2)), sigma 0.25; U_i = sum_j |P_i - P_j|. It knows no target:
    the map is of all that the model says. Muddamsetty et al., SIDU, 2022, section 3.
    """
    filling, whole = as_image("fill", fill, image), probabilities(scores)
    active = (features[0] > threshold).astype(np.float32)
    if len(active) * whole.nbytes > MOST_BYTES:
        raise NotExplainable(
            f"sidu keeps all {whole.size:,} scores of the image behind each of {len(active):,} maps, which are more "
            f"than {MOST_BYTES >> 20:,} MB; ask at a layer with fewer maps, or use score-cam"
        )
    found, unlike = np.zeros((len(active), whole.size), whole.dtype), np.zeros(len(active))
    for part in batches(len(active), batch):
        masks = resize(active[part], image.shape[2:])
        found[part] = probabilities((yield Scores(behind(masks, image, filling))))
        apart = _distances(found[part], found[: part.stop])
        unlike[part] += apart.sum(1)
        unlike[: part.start] += apart[:, : part.start].sum(0)
        if due(part, len(active)):
            yield Partial(_summed(found[: part.stop] - whole, unlike, active, len(seeds)), part.stop / len(active))
    return Outcome(_summed(found - whole, unlike, active, len(seeds)))


def _summed(different: Array, unlike: Array, active: Array, targets: int) -> Array:
    """The map of as many masks as there are differences to the whole image, once for each target."""
    count = len(different)
    alike = np.exp(-(different**2).sum(1) / (2 * WIDTH**2))
    return np.repeat(weighted_masks((alike * unlike[:count])[:, None], active[:count]), targets, 0)


def _distances(some: Array, others: Array) -> Array:
    """From each row to each of others."""
    squares = (some**2).sum(1)[:, None] + (others**2).sum(1) - 2 * some @ others.T
    return np.sqrt(np.maximum(squares, 0))
