"""Methods of many passes as other libraries compute them, where they differ from the papers."""

import numpy as np

from backlit_server.methods import cam
from backlit_server.methods.asking import Array, Gradients, HeadGradients, Outcome, Scores, Steps, batches
from backlit_server.methods.conventions import centred_direction
from backlit_server.methods.head_probing import of_targets, weighted
from backlit_server.methods.scaling import normalize, resize
from backlit_server.methods.variations import Weighing, nearest, summands

BESIDE = 1e-8  # what both libraries add to the span of a mask


def eigen_grad_cam_centred(features: Array, seeds: Array, *, weights: Weighing = "hires-cam") -> Steps:
    """EigenGrad-CAM after the mean of each weighted map was taken away; its sign is that of the decomposition."""
    grads = yield HeadGradients(features, seeds)
    return Outcome(centred_direction(summands(weights, features, grads)))


def score_cam_of_scores(image: Array, features: Array, seeds: Array, batch: int) -> Steps:
    """Score-CAM by a softmax over the channels of the scores, not by probabilities; corners of the masks aligned."""
    masks = normalize(resize(features[0], image.shape[2:], "corners"), BESIDE)
    return (yield from _score_cam(image, features, masks, seeds, batch))


def score_cam_of_coarse_masks(image: Array, features: Array, seeds: Array, batch: int) -> Steps:
    """Score-CAM by a softmax over the channels of what scores gain; masks are scaled to 0..1, then enlarged."""
    masks = resize(normalize(features[0], BESIDE), image.shape[2:])
    return (yield from _score_cam(image, features, masks, seeds, batch))


def finer_cam_of_softmax(features: Array, seeds: Array, scores: Array) -> Steps:
    """Finer-CAM against three similar classes weighted by their softmax, which is differentiated too; alpha is 1."""
    finer = seeds.copy()
    for seed in finer:
        others = nearest(seed, scores[0])[:3]
        shares = _softmax(scores[0][others])
        seed[others] -= shares * (1 + scores[0][others] - shares @ scores[0][others])
    grads = yield HeadGradients(features, finer)
    return Outcome(cam.grad_cam(features, grads))


def guided_grad_cam_by_channel(image: Array, features: Array, seeds: Array) -> Steps:
    """Guided Grad-CAM of each channel of the image, signed; Grad-CAM is enlarged to the nearest place."""
    guided = yield Gradients(image, seeds, "guided")
    grads = yield HeadGradients(features, seeds)
    where = resize(cam.grad_cam(features, grads).clip(0), image.shape[2:], "nearest")
    return Outcome(guided * where[:, None])


def _score_cam(image: Array, features: Array, masks: Array, seeds: Array, batch: int) -> Steps:
    """A softmax does not see what all scores have in common, such as the score of the whole image."""
    found = np.zeros((len(seeds), len(masks)))
    for part in batches(len(masks), batch):
        found[:, part] = of_targets((yield Scores((image * masks[part, None]).astype(image.dtype))), seeds).T
    return Outcome(weighted(features, _softmax(found)))


def _softmax(values: Array) -> Array:
    """Along the last axis."""
    raised = np.exp(values - values.max(-1, keepdims=True))
    return raised / raised.sum(-1, keepdims=True)
