"""The memory of runs: one arena a device for all sessions of the process, and what of it is given back."""

import functools
import math
import time
from collections.abc import Mapping, Sequence

import numpy as np
import onnxruntime

from backlit_server.engine.providers import CUDA

LARGE = 4 << 20  # bytes of inputs: more than one image, as a rule
CALM = 2.0  # seconds without such
SHRINK, HOST = "memory.enable_memory_arena_shrinkage", "cpu:0"
AS_REQUESTED = 1  # the default doubles an arena whenever it grows


class Arena:
    """What is between runs of the memory of runs: what a large batch took is given back by a smaller one behind it.

    Not by each large one: to take it anew costs a tenth of the run. And not at once: heads follow their backbone.
    """

    def __init__(self) -> None:
        self._large = -math.inf
        self._swollen = False

    def before(self, shares: Sequence[Mapping[str, np.ndarray]], options: onnxruntime.RunOptions) -> None:
        """Tells a run, or those side by side, to shrink the arena in its end, where it is time."""
        if sum(array.nbytes for feeds in shares for array in feeds.values()) > LARGE:
            self._large, self._swollen = time.monotonic(), True
        elif self._swollen and time.monotonic() - self._large > CALM:
            options.add_run_config_entry(SHRINK, HOST)
            self._swollen = False


def emptying() -> onnxruntime.RunOptions:
    """Of a run that gives back all that lies unused in the arena of the host."""
    options = onnxruntime.RunOptions()
    options.add_run_config_entry(SHRINK, HOST)
    return options


@functools.cache
def share_host_arena(megabytes: int) -> None:
    """What a run has given back on the host is there for the next one, of whatever session that is opened from now on.

    It holds so many megabytes at most (0: as many as there are), and grows by what is asked for where it is bounded.
    """
    bounded = {"max_mem": megabytes << 20, "arena_extend_strategy": AS_REQUESTED}
    limits = onnxruntime.OrtArenaCfg(bounded) if megabytes else None
    onnxruntime.create_and_register_allocator(_memory("Cpu", 0), limits)


@functools.cache
def share_cuda_arena(ordinal: int, megabytes: int) -> None:
    """Likewise on a GPU, for sessions opened from now on, of at most so many megabytes in all (0: as many as it has).

    As ONNX Runtime's own tests do it (onnxruntime_test_python.py). A tensor that outlives its session then holds no
    memory but its own. Weights may lie elsewhere: they were placed before shared arenas were looked for, when
    onnxruntime#25108 was written, and it is open.
    """
    limits = onnxruntime.OrtArenaCfg({"max_mem": megabytes << 20, "arena_extend_strategy": AS_REQUESTED})
    onnxruntime.create_and_register_allocator_v2(CUDA, _memory("Cuda", ordinal), {}, limits)


def _memory(device: str, ordinal: int) -> onnxruntime.OrtMemoryInfo:
    kind, what = onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, onnxruntime.OrtMemType.DEFAULT
    return onnxruntime.OrtMemoryInfo(device, kind, ordinal, what)
