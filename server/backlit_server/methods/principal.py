"""What features have in common, without asking for a target."""

import numpy as np


def eigen_cam(features: np.ndarray) -> np.ndarray:
    """Eigen-CAM: the features of each place, along their first principal direction. It knows no target.

    A v, with v the first right singular vector of the places x channels matrix A; its sign is chosen so that more
    activity is more. Muhammad and Yeasin, Eigen-CAM, 2020, section III.
    """
    return first_direction(features)


def fem(features: np.ndarray) -> np.ndarray:
    """FEM: where channels are far above their own mean, weighted by it. It knows no target.

    sum_k mean(A_k) [A_k > mean(A_k) + 2 std(A_k)]. Fuad et al., Features Understanding in 3D CNNs for Actions
    Recognition in Video, 2020.
    """
    mean, deviation = features.mean((2, 3), keepdims=True), features.std((2, 3), keepdims=True)
    return (mean * (features > mean + 2 * deviation)).sum(1)


def first_direction(features: np.ndarray) -> np.ndarray:
    """Each place of maps (n, channels, height, width) along the first right singular vector of its image."""
    count, channels, height, width = features.shape
    places = features.reshape(count, channels, -1).transpose(0, 2, 1)
    left, sizes, _ = np.linalg.svd(places, full_matrices=False)
    along = left[:, :, 0] * sizes[:, :1]
    more = (along * places.sum(2)).sum(1, keepdims=True) >= 0
    return np.where(more, along, -along).reshape(count, height, width)
