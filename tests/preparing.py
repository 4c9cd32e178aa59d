"""Pictures prepared as a worker prepares them."""

import functools
from collections.abc import Sequence

import numpy as np

from backlit_proto import backlit_pb2 as pb
from backlit_server.engine.pictures import Pictures
from backlit_server.engine.runtime import Runtime
from backlit_server.graph import ImageInput

MEGAPIXELS = 1
THREADS = 2


@functools.cache
def pictures() -> Pictures:
    """On the CPU, for pictures of at most a million pixels."""
    return Pictures(Runtime("cpu", THREADS), MEGAPIXELS)


def prepare(given: Sequence[bytes | np.ndarray], declared: pb.Preprocessing, expected: ImageInput) -> np.ndarray:
    """The model's input for these pictures."""
    return prepared(pictures(), given, declared, expected)


def prepared(
    by: Pictures, given: Sequence[bytes | np.ndarray], declared: pb.Preprocessing, expected: ImageInput
) -> np.ndarray:
    """The same by other hands."""
    steps = by.prepare(given, by.recipe(declared, expected), expected)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value
