"""Forward passes of late: a further question about the same images, whatever its method, costs its head alone."""

import zlib
from collections.abc import Mapping

import numpy as np

from backlit_server.engine.budget import Budget, Key, Size

FEATURES = "features"
SAMPLES = 64  # bytes of an input that are looked at before all of it is
Tensors = dict[str, np.ndarray]


class Features:
    """The tensors of forward passes by model, graph and input, within the budget; the oldest go first.

    A few bytes of the input tell almost always that it is another, in microseconds; where they agree the arrays are
    compared whole, so that no image is ever taken for another.
    """

    def __init__(self, budget: Budget) -> None:
        self._budget = budget

    def found(self, owner: str, graph: str, feeds: Mapping[str, np.ndarray]) -> Tensors | None:
        """What the graph of this digest made of these inputs, None where that is not known any more."""
        kept = self._budget.get(_key(owner, graph, feeds))
        if kept is None:
            return None
        given, made = kept
        return made if all(_same(given[name], array) for name, array in feeds.items()) else None

    def remember(self, owner: str, graph: str, feeds: Mapping[str, np.ndarray], made: Tensors) -> None:
        """Keeps what was made; too much of it for its share of the budget is not worth keeping."""
        nbytes = sum(array.nbytes for array in (*feeds.values(), *made.values()))
        if 2 * nbytes <= self._budget.share(FEATURES):
            arrays = {name: _apart(array) for name, array in made.items()}
            self._budget.keep(_key(owner, graph, feeds), (feeds, arrays), Size(nbytes))


def _key(owner: str, graph: str, feeds: Mapping[str, np.ndarray]) -> Key:
    return Key(FEATURES, owner, f"{graph} {[_glance(name, feeds[name]) for name in sorted(feeds)]}")


def _glance(name: str, array: np.ndarray) -> tuple[str, str, tuple[int, ...], int]:
    """Name, type, shape and some values of an input."""
    flat = array.reshape(-1)
    return name, array.dtype.str, array.shape, zlib.crc32(flat[:: max(1, flat.size // SAMPLES)].tobytes())


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two arrays of one shape and type are the same to the last bit."""
    return one is other or bool(np.array_equal(_bits(one), _bits(other)))


def _bits(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def _apart(array: np.ndarray) -> np.ndarray:
    """The array, without the rows of others around it."""
    return array if array.base is None else array.copy()
