"""What is made of sizes alone: numbers counted from 0, and identity matrices."""

import numpy as np

from backlit_server.graph.recording.sym import Array, zeros


def counted(like: Array, n: Array) -> Array:
    """0 to n - 1, as 64 bit integers on the tape of `like`."""
    return like.lift(np.array(0)).op("Range", n, np.array(1))


def identity(rows: Array, columns: Array, dtype: int) -> Array:
    """1 on the diagonal, 0 elsewhere; the sizes are tensors with one element each."""
    shape: Array = np.concatenate([rows, columns])
    return zeros(shape, dtype).op("EyeLike")
