"""Plain ONNX Runtime, the judge of what the server computes, in a process that may also hold an engine."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from backlit_server.engine.lanes import one_thread_pool

THREADS = 2


def values(
    model: onnx.ModelProto | bytes | Path, names: Sequence[str], feeds: dict[str, np.ndarray]
) -> list[np.ndarray]:
    """Outputs of one run, in the order of their names."""
    return [np.asarray(value) for value in session(model).run(list(names), feeds)]


def session(model: onnx.ModelProto | bytes | Path, optimised: bool = True) -> onnxruntime.InferenceSession:
    """A session at the defaults, but for the thread pool: a process has one, shared with the engine under test."""
    one_thread_pool(THREADS)
    options = onnxruntime.SessionOptions()
    options.use_per_session_threads = False
    options.log_severity_level = 4
    if not optimised:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    data = model.SerializeToString() if isinstance(model, onnx.ModelProto) else model
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
