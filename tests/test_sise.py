"""SISE against a loop written out, Otsu's threshold against scikit-image's."""

from typing import Any

import numpy as np
import pytest
from skimage.filters import threshold_otsu

from backlit_server.methods.asking import Ask, Blocks, Scores
from backlit_server.methods.scaling import resize
from backlit_server.methods.sise import ada_sise, otsu, sise
from outcomes import outcome

rng = np.random.default_rng(9)
X = rng.normal(size=(1, 2, 8, 8))
W = rng.normal(size=(2, 2, 8, 8))
SEEDS = np.eye(2)
BLOCKS = [(rng.normal(size=(1, 4, n, n)), rng.normal(size=(2, 4, n, n)) + 0.1) for n in (8, 4, 2)]


def answer(ask: Ask) -> Any:
    if isinstance(ask, Blocks):
        return BLOCKS
    assert isinstance(ask, Scores)
    return np.einsum("kchw,nchw->nk", W, ask.images)


def chance(found: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-found @ seeds.T))


def scaled(one: np.ndarray) -> np.ndarray:
    return (one - one.min()) / np.ptp(one)


def rising(means: np.ndarray) -> np.ndarray:
    return np.flatnonzero(means > 0)


def leading(means: np.ndarray) -> np.ndarray:
    return np.flatnonzero(means >= otsu(means[means > 0]))


@pytest.mark.parametrize(("method", "chosen"), [(sise, rising), (ada_sise, leading)])
@pytest.mark.parametrize("batch", [1, 3, 64])
def test_blocks_are_fused_where_the_next_one_is_bright(method, chosen, batch: int):
    found = outcome(method(X, SEEDS, chance, batch, fill=0.2), answer).heatmaps
    for target in (0, 1):
        fused = np.zeros((8, 8))
        for block, (maps, grads) in enumerate(BLOCKS):
            summed = np.zeros((8, 8))
            for k in chosen(grads[target].mean((1, 2))):
                mask = scaled(resize(maps[0, k], (8, 8)))
                likely = chance(answer(Scores(X * mask + 0.2 * (1 - mask))), SEEDS)[0, target]
                summed += likely * mask / mask.sum()
            summed = scaled(summed)
            fused = (fused + summed) * (summed >= otsu(summed)) if block else summed
        assert np.allclose(found[target], fused, atol=1e-5)


def test_otsu_tells_two_groups_apart():
    values = np.concatenate([rng.normal(0, 1, 3000), rng.normal(6, 1, 1000)])
    width = np.ptp(values) / 256
    assert abs(otsu(values) - threshold_otsu(values)) <= width
    assert otsu(np.full(7, 0.3)) == 0.3
