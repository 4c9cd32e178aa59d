"""What features have in common, without asking for a target."""

from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np

from backlit_proto.errors import BadQuestion

Kernel = Literal["sigmoid", "rbf", "linear"]
KERNELS: Mapping[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "sigmoid": lambda products, channels: np.tanh(products / channels + 1),
    "rbf": lambda products, channels: np.exp(-_distances(products) / channels),
    "linear": lambda products, channels: products,
}
MOST_PLACES = 64 * 64  # of kernel PCA, which compares every place with every other


def eigen_cam(features: np.ndarray) -> np.ndarray:
    """Eigen-CAM: the features of each place, along their first principal direction. It knows no target.

    A v, with v the first right singular vector of the places x channels matrix A; its sign is chosen so that more
    activity is more. Muhammad and Yeasin, Eigen-CAM, 2020, section III.
    """
    return first_direction(features)


def kpca_cam(features: np.ndarray, *, kernel: Kernel = "sigmoid") -> np.ndarray:
    """KPCA-CAM: as Eigen-CAM, by kernel PCA, which sees more than straight directions. It knows no target.

    Each place along the first component of the centred kernel matrix: tanh(x y / K + 1), exp(-|x - y|^2 / K) or x y of
    places x and y with K channels, their mean taken away. Karmani et al., KPCA-CAM, 2024. Its sign is chosen as that of
    Eigen-CAM.
    """
    count, channels, height, width = features.shape
    if height * width > MOST_PLACES:
        raise BadQuestion(
            f"kpca-cam compares all places with each other, and this layer has {height} x {width}: ask at a later layer"
        )
    places = features.reshape(count, channels, -1).transpose(0, 2, 1).astype(np.float64)
    apart = places - places.mean(1, keepdims=True)
    found = KERNELS[kernel](apart @ apart.transpose(0, 2, 1), channels)
    means = found.mean(1, keepdims=True)
    centred = found - means - means.transpose(0, 2, 1) + means.mean(2, keepdims=True)
    return _more_for_more(_first(centred), places).reshape(count, height, width)


def fem(features: np.ndarray) -> np.ndarray:
    """FEM: where channels are far above their own mean, weighted by it. It knows no target.

    sum_k mean(A_k) [A_k > mean(A_k) + 2 std(A_k)]. Fuad et al., Features Understanding in 3D CNNs for Actions
    Recognition in Video, 2020.
    """
    count, channels, height, width = features.shape
    places = features.reshape(count, channels, -1).astype(np.result_type(features, np.float32))
    share = np.full((height * width, 1), 1 / (height * width), places.dtype)
    mean = places @ share  # matrix products: a ninth of the time of numpy's own sums over few places each
    apart = places - mean
    deviation = np.sqrt(apart**2 @ share)
    return (mean.swapaxes(1, 2) @ (apart > 2 * deviation).astype(places.dtype)).reshape(count, height, width)


def first_direction(features: np.ndarray) -> np.ndarray:
    """Each place of maps (n, channels, height, width) along the first right singular vector of its image.

    Of the smaller of the two matrices of products: a tenth of the time of a singular value decomposition.
    """
    count, channels, height, width = features.shape
    places = features.reshape(count, channels, -1).transpose(0, 2, 1).astype(np.float64)
    turned = places.transpose(0, 2, 1)
    if height * width <= channels:
        along = _first(places @ turned)
    else:
        along = (places @ _components(turned @ places)[1][:, :, -1:])[:, :, 0]
    return _more_for_more(along, places).reshape(count, height, width)


def _first(products: np.ndarray) -> np.ndarray:
    """The first component of things whose products (n, things, things) are given."""
    sizes, components = _components(products)
    return components[:, :, -1] * np.sqrt(np.maximum(sizes[:, -1:], 0))


def _components(matrices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues, ascending, and eigenvectors of symmetric matrices; NaN of those that hold infinity or NaN."""
    finite = np.asarray(np.isfinite(matrices).all((1, 2)))
    sizes, components = np.linalg.eigh(np.where(finite[:, None, None], matrices, 0))
    return np.where(finite[:, None], sizes, np.nan), np.where(finite[:, None, None], components, np.nan)


def _more_for_more(along: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Components (n, places), the sign of each such that more activity is more."""
    more = (along * places.sum(2)).sum(1, keepdims=True) >= 0
    return np.where(more, along, -along)


def _distances(products: np.ndarray) -> np.ndarray:
    """Squared distances of places from their scalar products."""
    lengths = np.diagonal(products, axis1=1, axis2=2)
    return lengths[:, :, None] + lengths[:, None, :] - 2 * products
