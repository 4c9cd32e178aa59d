"""Gradients with respect to the image, as they are or by modified rules.

g is the gradient of the target with respect to the image x.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np

from backlit_server.methods.parameters import Filling

Reduction = Literal["max", "mean", "sum"]
Composite = Literal[
    "epsilon",
    "epsilon-plus",
    "epsilon-plus-flat",
    "epsilon-gamma-box",
    "epsilon-alpha2-beta1",
    "epsilon-alpha2-beta1-flat",
    "excitation-backprop",
]
EachOr = Literal["each", "max", "mean", "sum"]
OVER_CHANNELS: Mapping[str, Callable[[Any], Any]] = {
    "each": lambda g: g,
    "max": lambda g: g.max(1),
    "mean": lambda g: g.mean(1),
    "sum": lambda g: g.sum(1),
}


def saliency(grads: Any, *, channels: Reduction = "max", signed: bool = False) -> Any:
    """Saliency: how strongly each pixel moves the target, the largest |g| of its channels.

    max_c |g_c|. Simonyan et al., Deep Inside Convolutional Networks, 2014, section 3.1.
    """
    return OVER_CHANNELS[channels](grads if signed else abs(grads))


def neuron_gradient(grads: Any, *, channels: EachOr = "sum", signed: bool = True) -> Any:
    """Neuron gradient: how each pixel moves a neuron of any tensor, a channel's mean, or a mask of its places.

    d(neuron)/dx. The question's layer names the tensor, its targets the neurons: a number is a channel, an element one
    neuron, a mask of a channel some of its places; without any it is the channel that is most active.
    """
    return OVER_CHANNELS[channels](grads if signed else abs(grads))


def gradient_x_input(features: Any, grads: Any) -> Any:
    """Gradient x input: each pixel's share of the target, were the model linear.

    sum_c x_c g_c. Shrikumar et al., Not Just a Black Box, 2016.
    """
    return (features * grads).sum(1)


def guided_backprop(grads: Any, *, channels: Reduction = "max", signed: bool = False) -> Any:
    """Guided backpropagation: saliency whose gradient passes a rectifier only where it and the value are positive.

    It traces edges, and hardly depends on the target. Springenberg et al., Striving for Simplicity, 2015, section 3.4.
    """
    return saliency(grads, channels=channels, signed=signed)


def deconvnet(grads: Any, *, channels: Reduction = "max", signed: bool = False) -> Any:
    """Deconvnet: saliency whose gradient passes a rectifier only where it is positive itself.

    Pooling passes it to the place that won. Zeiler and Fergus, Visualizing and Understanding Convolutional Networks,
    2014, section 2.1.
    """
    return saliency(grads, channels=channels, signed=signed)


def full_grad(
    features: Any, grads: Any, biases: Any, added: Any, score: Any, resized: Any, *, implicit: bool = False
) -> Any:
    """FullGrad: what the pixels bring to the score, and what every layer adds to it on the way.

    psi(x g) + sum over layers of psi(b g_b), psi(t) the channels' sum of |t|, min-max over the layer and resized. Batch
    norms folded into convolutions are their biases. With implicit biases x g and all b g_b add up to the score:
    `completeness error` says how nearly, relative to it. Srinivas and Fleuret, Full-gradient Representation, 2019,
    eq. 5.
    """
    error = abs((features * grads).sum((1, 2, 3)) + added - score) / np.maximum(abs(score), 1e-12)
    whole, *others = (resized(_share(term), features) for term in (features * grads, *biases))
    for term in others:
        whole = whole + term
    return whole[:, 0], error


def _share(term: Any) -> Any:
    """|t| from 0 to 1 for all channels of an image, summed: (rows, 1, height, width)."""
    size = abs(term)
    low, high = size.min((1, 2, 3), keepdims=True), size.max((1, 2, 3), keepdims=True)
    return ((size - low) / (high - low + (high == low))).sum(1, keepdims=True)


def lrp(
    relevance: Any,
    *,
    composite: Composite = "epsilon-plus-flat",
    epsilon: float = 1e-6,
    gamma: float = 0.25,
    low: tuple[float, ...] = (),
    high: tuple[float, ...] = (),
) -> Any:
    """Layer-wise relevance propagation: how the score is shared among the pixels, layer by layer.

    sum_c R_c; in a network without biases the shares add up to the score, otherwise biases keep theirs. Each layer
    passes on the relevance it is given, by the rules that the composite names. Bach et al., On Pixel-wise Explanations,
    2015; Montavon et al., Layer-wise Relevance Propagation: an Overview, 2019.
    """
    return relevance.sum(1)


def deep_lift(features: Any, reference: Any, multipliers: Any, gained: Any, *, baseline: Filling = 0.0) -> Any:
    """DeepLIFT: each pixel's share of the difference that the image makes to a baseline, in one pass.

    sum_c (x - x')_c m_c, with multipliers m by the rescale rule; products of two tensors that both depend on the image,
    as in attention, count each factor with the mean of the other. The shares add up to T(x) - T(x'): `completeness
    error` says how nearly, relative to it. Shrikumar et al., Learning Important Features, 2017, section 3.5.
    """
    shares = ((features - reference) * multipliers).sum(1)
    return shares, abs(shares.sum((1, 2)) - gained) / np.maximum(abs(gained), 1e-12)
