"""Variations on the methods that sum over channels what features and gradients say of each.

A are the features of a layer, g the gradient of the target with respect to them.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np

from backlit_proto.errors import BadQuestion
from backlit_server.methods import cam
from backlit_server.methods.asking import Array, Gradients, HeadGradients, Outcome, Steps
from backlit_server.methods.gradients import Reduction, saliency
from backlit_server.methods.parameters import Range
from backlit_server.methods.principal import first_direction
from backlit_server.methods.scaling import resize

Weighing = Literal["grad-cam", "grad-cam++", "hires-cam", "grad-cam-elementwise", "layer-cam", "xgrad-cam"]
WEIGHINGS: Mapping[str, Any] = {
    "grad-cam": cam.grad_cam,
    "grad-cam++": lambda features, grads: cam.grad_cam_plus_plus(features, grads)[0],
    "hires-cam": cam.hires_cam,
    "grad-cam-elementwise": cam.grad_cam_elementwise,
    "layer-cam": cam.layer_cam,
    "xgrad-cam": cam.xgrad_cam,
}


def eigen_grad_cam(features: Array, seeds: Array, *, weights: Weighing = "hires-cam") -> Steps:
    """EigenGrad-CAM: the features times their gradients, seen from their first principal direction.

    As Eigen-CAM, of g A, which depends on the target. Gildenblat et al., pytorch-grad-cam, 2021. `weights` of another
    method, such as mean(g) A of grad-cam: that method with its sum over the channels replaced (eigen smoothing). What
    is strong shows even where its weights would cancel, so classes are told apart less than by the sum.
    """
    grads = yield HeadGradients(features, seeds)
    return Outcome(first_direction(summands(weights, features, grads)))


def finer_cam(
    features: Array,
    seeds: Array,
    classes: Array,
    *,
    alpha: Annotated[float, Range(0, 100)] = 0.6,
    similar: Annotated[int, Range(1, 1_000_000)] = 3,
    weights: Weighing = "grad-cam",
) -> Steps:
    """Finer-CAM: what speaks for the target rather than for the classes most similar to it.

    A method's map of y_c - alpha mean(y_d), d the classes whose scores are nearest to the target's. Zhang et al.,
    Finer-CAM, 2025, section 3. `similar class 1` and so on tell which classes it was compared with.
    """
    ranks = [nearest(seed, classes[0]) for seed in seeds]
    count = min(similar, *(len(ranked) for ranked in ranks))
    others = np.stack([ranked[:count] for ranked in ranks])
    finer = seeds.copy()
    np.put_along_axis(finer, others, -alpha / count, 1)
    grads = yield HeadGradients(features, finer)
    compared = {f"similar class {k + 1}": column for k, column in enumerate(others.T)}
    return Outcome(WEIGHINGS[weights](features, grads), compared)


def nearest(seed: Array, scores: Array) -> Array:
    """The classes that a seed (classes,) does not ask for, those with a score near to what it asks for first."""
    others = np.flatnonzero(seed == 0)
    if not len(others):
        raise BadQuestion("finer-cam compares a class with others, and this seed asks for all of them: use grad-cam")
    return others[np.argsort(abs(scores[others] - seed @ scores), kind="stable")]


def summands(weights: str, features: Array, grads: Array) -> Array:
    """What each channel adds to a method's map (n, channels, height, width): the method, of one channel at a time."""
    count, channels, height, width = grads.shape
    apart = (np.broadcast_to(maps, grads.shape).reshape(-1, 1, height, width) for maps in (features, grads))
    return WEIGHINGS[weights](*apart).reshape(count, channels, height, width)


def guided_grad_cam(
    image: Array, features: Array, seeds: Array, *, channels: Reduction = "max", signed: bool = False
) -> Steps:
    """Guided Grad-CAM: the edges of guided backpropagation, where Grad-CAM finds the target.

    Guided gradients at the image, times the positive part of Grad-CAM at the layer, enlarged to the image: bilinear, as
    the paper has it. Selvaraju et al., Grad-CAM, 2017, section 3.2.
    """
    guided = yield Gradients(image, seeds, "guided")
    grads = yield HeadGradients(features, seeds)
    where = resize(cam.grad_cam(features, grads).clip(0), image.shape[2:])
    return Outcome(saliency(guided * where[:, None], channels=channels, signed=signed))
