"""The one thread pool, and runs side by side in it: one a thread, for several images.

Threads that share a run wait for each other at every operator. That costs most where a machine is busy: one has lost
its core, and the others spin until it is back.
"""

import functools
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, wait
from typing import Any

import numpy as np
import onnxruntime

Feeds = Mapping[str, np.ndarray]
Made = Sequence[Any]


@functools.cache
def one_thread_pool(threads: int) -> None:
    """One pool for all sessions of the process: with one each, two sessions spin against each other."""
    onnxruntime.set_global_thread_pool_sizes(threads, 1)


def side_by_side(
    session: onnxruntime.InferenceSession,
    outputs: Sequence[str],
    shares: Sequence[Feeds],
    options: onnxruntime.RunOptions,
) -> list[Made]:
    """What is made of each of these feeds, the first of them in this thread; when one run fails, all have ended."""
    others = [_started(session, outputs, feeds, options) for feeds in shares[1:]]
    try:
        first = session.run(outputs, shares[0], options)
    finally:
        wait(others)
    return [first, *(other.result() for other in others)]


def _started(
    session: onnxruntime.InferenceSession, outputs: Sequence[str], feeds: Feeds, options: onnxruntime.RunOptions
) -> Future[Made]:
    """A run in a thread of the pool: its operators go on in that thread, unless others of the pool have time."""
    future: Future[Made] = Future()

    def end(made: Made, _: None, error: str) -> None:
        if error:
            future.set_exception(RuntimeError(error))
        else:
            future.set_result(made)

    session.run_async(outputs, feeds, end, None, options)
    return future
