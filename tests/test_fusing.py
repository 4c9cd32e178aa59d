"""Maps of several layers as one, on arrays."""

import numpy as np
import pytest
from skimage.transform import resize

from backlit_server.methods.fusing import FUSIONS, fused

rng = np.random.default_rng(6)
SHALLOW, DEEP = rng.normal(size=(2, 8, 6)), rng.normal(size=(2, 4, 3))


def finished(maps: np.ndarray) -> np.ndarray:
    """relu, min-max, then scikit-image's bilinear enlargement."""
    made = []
    for one in np.maximum(maps, 0):
        scaled = (one - one.min()) / (one.max() - one.min())
        made.append(resize(scaled, (8, 6), order=1, mode="edge", anti_aliasing=False))
    return np.stack(made)


BY_HAND = {
    "mean": lambda a, b: (a + b) / 2,
    "max": np.maximum,
    "product": lambda a, b: a * b,
    "tanh-max": lambda a, b: np.maximum(np.tanh(2 * a), np.tanh(2 * b)),
}


@pytest.mark.parametrize("how", FUSIONS)
def test_layers_are_fused_at_the_size_of_the_largest(how: str):
    found, steps = fused([SHALLOW, DEEP], how)
    assert np.allclose(found, BY_HAND[how](finished(SHALLOW), finished(DEEP)), atol=1e-6)
    assert steps[-1] == f"fuse {how}"


def test_a_layer_with_nothing_above_zero_adds_nothing():
    found, _ = fused([SHALLOW, -abs(DEEP)], "max")
    assert np.allclose(found, finished(SHALLOW), atol=1e-6)
