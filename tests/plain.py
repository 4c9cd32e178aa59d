"""Plain ONNX Runtime, the judge of what the server computes, in a process that may also hold an engine."""

from pathlib import Path

import onnx
import onnxruntime

from backlit_server.engine.runtime import one_thread_pool

THREADS = 2


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
