"""What stays on a device is an array to whoever reads it."""

from typing import Any

import numpy as np
import onnxruntime
import pytest

from backlit_server.engine.budget import Budget
from backlit_server.engine.features import FEATURES, Features
from backlit_server.engine.resident import Place, Resident

rng = np.random.default_rng(89)
HERE = Place("cpu", 0)


def resident(array: np.ndarray) -> Any:
    return Resident.whole(onnxruntime.OrtValue.ortvalue_from_numpy(array), HERE)


def test_rows_of_a_run_that_others_share_are_kept_without_the_others():
    budget = Budget(1 << 20, {FEATURES: 1 << 20})
    features, x = Features(budget), {"x": np.zeros(2, np.float32)}
    whole = resident(np.arange(32, dtype=np.float32).reshape(8, 4))
    features.remember("model", "graph", x, {"f": whole, "g": whole[2:3]})
    assert budget.used == 8 + 128 + 16
    kept = features.found("model", "graph", x)
    assert kept is not None
    assert kept["f"] is whole
    assert isinstance(kept["g"], np.ndarray)
    np.testing.assert_array_equal(kept["g"], [[8, 9, 10, 11]])


ARRAY = rng.normal(size=(6, 3, 2)).astype(np.float32)


USES = {
    "rows": lambda a: a[1:4],
    "rows of rows": lambda a: a[1:][1:-1],
    "no rows": lambda a: a[4:2],
    "every other row": lambda a: a[::2],
    "a row": lambda a: a[-1],
    "a place": lambda a: a[:, 1, 0],
    "a new axis": lambda a: a[None],
    "all": lambda a: a[...],
    "chosen": lambda a: a[[0, 3]],
    "sizes": lambda a: np.array([a.ndim, a.size, a.nbytes, len(a), *a.shape]),
    "sum": lambda a: a.sum((1, 2)),
    "turned": lambda a: a.transpose(0, 2, 1).reshape(6, -1),
    "arithmetic": lambda a: -(a[2:] * 2 - 1) / a[:4] ** 2,
    "compared": lambda a: (a > 0) & (np.float32(1) > a),
    "a function": lambda a: np.maximum(np.abs(a), 0.5),
    "joined": lambda a: np.concatenate([a[:1], a[3:]]),
    "repeated": lambda a: np.repeat(a[None], 2, 0),
    "in double precision": lambda a: np.asarray(a, np.float64),
    "copied": lambda a: a.copy(),
}


@pytest.mark.parametrize("use", USES)
def test_a_resident_is_the_array_it_is(use: str):
    ours, theirs = USES[use](resident(ARRAY)), USES[use](ARRAY)
    assert (np.asarray(ours).dtype, np.shape(ours)) == (theirs.dtype, theirs.shape)
    assert np.asarray(ours).tobytes() == theirs.tobytes()
