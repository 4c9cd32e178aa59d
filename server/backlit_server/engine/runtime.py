"""ONNX Runtime as this process uses it: one thread pool, one device, runs that can be interrupted."""

import ctypes
import functools
import hashlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime

from backlit_proto.errors import BadModel, BadQuestion, InternalError, Overloaded

QUIET = 4  # what goes wrong is raised, and told to the caller; it need not fill the log as well


@functools.cache
def one_thread_pool(threads: int) -> None:
    """One pool for all sessions of the process: with one each, two sessions spin against each other."""
    onnxruntime.set_global_thread_pool_sizes(threads, 1)


class Runtime:
    """Opens sessions on one device.

    `device`: cpu, cuda, cuda:N, auto (CUDA where it works, CPU elsewhere) or require-cuda.
    `provider` is what sessions really got: ONNX Runtime falls back to the CPU silently.
    """

    def __init__(self, device: str, threads: int) -> None:
        one_thread_pool(threads)
        self._wanted = _providers(device)
        self._running: onnxruntime.RunOptions | None = None
        self.provider = self.open(_probe()).provider
        if device == "require-cuda" and self.provider != CUDA:
            raise InternalError(
                f"CUDA is required but sessions run on {self.provider}: check the driver and CUDA 13 with cuDNN 9 "
                "(pip install 'backlit[gpu]'), or start with --device auto"
            )
        ordinal = device.partition(":")[2] or "0"
        self.device = f"cuda:{ordinal}" if self.provider == CUDA else "cpu"

    def open(self, model: onnx.ModelProto, folder: Path | None = None) -> "Session":
        """A session of a model, with the weights that stayed outside it in `folder`; BadModel when it is refused."""
        options = onnxruntime.SessionOptions()
        options.use_per_session_threads = False
        options.log_severity_level = QUIET
        options.add_session_config_entry("session.load_model_format", "ONNX")
        options.add_session_config_entry("session.force_spinning_stop", "1")
        if folder:
            options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(folder))
        data = model.SerializeToString()
        try:
            session = onnxruntime.InferenceSession(data, options, providers=self._wanted)
        except MemoryError:
            raise Overloaded("the model does not fit into this worker's memory") from None
        except Exception as error:  # ONNX Runtime raises a class of its own a status code
            raise BadModel(f"ONNX Runtime cannot load the model: {error}{_advice(model)}") from error
        return Session(self, session, hashlib.sha256(data).hexdigest())

    def run(
        self, session: onnxruntime.InferenceSession, outputs: Sequence[str], feeds: Mapping[str, np.ndarray]
    ) -> Sequence[Any]:
        """One run, which interrupt() makes return at the next node."""
        run_options = onnxruntime.RunOptions()
        run_options.log_severity_level = QUIET
        self._running = run_options
        try:
            return session.run(outputs, feeds, run_options)
        except Exception as error:  # as above
            raise BadQuestion(f"the model cannot run on this input: {error}") from error
        finally:
            self._running = None

    def interrupt(self) -> None:
        """Ends the run in progress, from any thread; nothing happens when there is none, or when it has just ended."""
        running = self._running
        if running is not None:
            running.terminate = True


class Session:
    """A loaded model; `provider` is where it really runs, `digest` that of its graph."""

    def __init__(self, runtime: Runtime, session: onnxruntime.InferenceSession, digest: str) -> None:
        self.digest = digest
        self._runtime = runtime
        self._session = session
        self.outputs = tuple(o.name for o in session.get_outputs())
        self.inputs = tuple(i.name for i in session.get_inputs())
        self.provider: str = session.get_providers()[0]

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """All outputs by name."""
        return dict(zip(self.outputs, self._runtime.run(self._session, self.outputs, feeds), strict=True))


def _advice(model: onnx.ModelProto) -> str:
    """What may help a model that is refused."""
    if any(tensor.data_type == onnx.TensorProto.DOUBLE for tensor in model.graph.initializer):
        return "; few of its operators work in double precision: export it in single precision"
    return ""


CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"


def _providers(device: str) -> list:
    """What to ask ONNX Runtime for; it takes the first that works."""
    if device == "cpu" or (device == "auto" and not _driver()):
        return [CPU]
    onnxruntime.preload_dlls()
    ordinal = device.partition(":")[2] or "0"
    return [(CUDA, {"device_id": ordinal, "use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}), CPU]


def _driver() -> bool:
    """Whether this machine has an NVIDIA driver; without one, asking for CUDA only fills the log."""
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    return CUDA in onnxruntime.get_available_providers()


def _probe() -> onnx.ModelProto:
    """The smallest model there is: it tells where sessions really run."""
    value = functools.partial(onnx.helper.make_tensor_value_info, elem_type=onnx.TensorProto.FLOAT, shape=[1])
    graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "probe", [value("x")], [value("y")])
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 21)], ir_version=10)
