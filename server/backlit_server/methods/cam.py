"""The class activation mapping family: weighted sums of a layer's maps.

A is the features, g the gradient of the target with respect to them, Z = height * width.
All maps are signed; whether negative values are dropped is a step of the rendering.
"""

from typing import Any

CROSSES_ZERO = 1e-3  # a Grad-CAM++ denominator, 2 by construction where features are not negative


def cam(features: Any, weights: Any) -> Any:
    """Class activation mapping: the maps, summed with the weights of the linear layer behind global pooling.

    sum_k w_k A_k. Zhou et al., Learning Deep Features for Discriminative Localization, 2016, eq. 2.
    """
    return (features * weights).sum(1)


def grad_cam(features: Any, grads: Any) -> Any:
    """Grad-CAM: the maps, summed with the mean of their gradients.

    sum_k mean(g_k) A_k. Selvaraju et al., Grad-CAM, 2017, eq. 1 and 2.
    """
    return (features * grads.mean((2, 3), keepdims=True)).sum(1)


def grad_cam_plus_plus(features: Any, grads: Any) -> Any:
    """Grad-CAM++: as Grad-CAM, but places that raise the score count, each weighted by its share.

    The weight of a channel is sum_ij relu(g_ij) / (2 + relu(g_ij) sum(A)). That is eq. 19 of
    Chattopadhay et al., Grad-CAM++, 2018, with Y = exp(score), after exp(score) and g^2 cancel: no
    small constant and no underflow of g^3. The paper assumes features that are not negative; where
    they are and the denominator comes near zero, the place is left out and counted as guarded.
    """
    rising = grads.clip(0)
    denominator = 2 + rising * features.sum((2, 3), keepdims=True)
    guarded = abs(denominator) < CROSSES_ZERO
    weights = (rising * (1 - guarded) / (denominator + guarded)).sum((2, 3), keepdims=True)
    return (features * weights).sum(1), (guarded * 1.0).sum((1, 2, 3))


def hires_cam(features: Any, grads: Any) -> Any:
    """HiResCAM: the maps times their gradients, place by place.

    sum_k g_k A_k. Draelos and Carin, Use HiResCAM instead of Grad-CAM, 2020, eq. 4.
    """
    return (features * grads).sum(1)


def grad_cam_elementwise(features: Any, grads: Any) -> Any:
    """GradCAMElementWise: HiResCAM with what speaks against the target left out, place by place and map by map.

    sum_k relu(g_k A_k). Gildenblat et al., pytorch-grad-cam, 2021. A product is positive where both factors are, or
    neither is: two weighted sums, which need no room for each product.
    """
    return (features.clip(0) * grads.clip(0)).sum(1) + (features.clip(None, 0) * grads.clip(None, 0)).sum(1)


def layer_cam(features: Any, grads: Any) -> Any:
    """LayerCAM: the maps times the positive part of their gradients, place by place.

    sum_k relu(g_k) A_k. Jiang et al., LayerCAM, 2021, eq. 5 and 6.
    """
    return (features * grads.clip(0)).sum(1)


def xgrad_cam(features: Any, grads: Any) -> Any:
    """XGrad-CAM: as Grad-CAM, with gradients averaged by how active the map is at each place.

    The weight of a channel is sum_ij g_ij A_ij / sum_ij A_ij. Fu et al., Axiom-based Grad-CAM, 2020,
    eq. 9. A channel whose values sum to exactly zero has weight zero.
    """
    total = features.sum((2, 3), keepdims=True)
    silent = total == 0
    weights = (grads * features).sum((2, 3), keepdims=True) / (total + silent) * (1 - silent)
    return (features * weights).sum(1)
