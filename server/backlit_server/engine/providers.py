"""Execution providers: what ONNX Runtime is asked for on each device, in one table, and what became of it.

The options are those of https://onnxruntime.ai/docs/execution-providers/CUDA-ExecutionProvider.html. Not among them:
enable_cuda_graph, which needs inputs and outputs at fixed addresses, runs from one thread and one graph for each shape,
no If, Loop or Scan, and every node on the GPU; rows here are (image, target) pairs whose number changes with each
question. prefer_nhwc and cudnn_conv_use_max_workspace stay at their defaults until they are measured.
"""

import ctypes
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import onnxruntime

from backlit_server.execution import Execution

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
REQUIRED = "require-cuda"

CUDA_OPTIONS: Mapping[str, Callable[[Execution], str | None]] = MappingProxyType(
    {
        # On by default: factors rounded to 10 bits, and maps that differ from a CPU's in the third digit. Where cuDNN
        # has no other kernel, ONNX Runtime takes one that rounds all the same (cuda/nn/conv_transpose.cc).
        "use_tf32": lambda told: str(int(told.tf32)),
        "cudnn_conv_algo_search": lambda told: told.search.upper(),
        # Of the session's own arena, for its weights; what runs take comes out of one for all sessions (arenas.py).
        "gpu_mem_limit": lambda told: str(told.gpu_memory_mb << 20) if told.gpu_memory_mb else None,
        # The default doubles the arena whenever it grows.
        "arena_extend_strategy": lambda told: "kSameAsRequested",
        # On a stream of their own, copies can race with what computes (onnxruntime#4829).
        "do_copy_in_default_stream": lambda told: "1",
    }
)
"""Each option by what was told; None leaves it at ONNX Runtime's default."""

KEEPING: Mapping[str, str] = MappingProxyType({CUDA: "cuda"})
"""Providers whose devices keep what goes from one session into another, by what ONNX Runtime calls the device.

On a CPU numpy's arrays are quicker: 1.06 of a plain pass where OrtValues take 1.10.
"""


def wanted(device: str, execution: Execution) -> list[Any]:
    """The providers to ask for, best first, as InferenceSession takes them."""
    if device == "cpu" or (device == "auto" and not driver()):
        return [CPU]
    onnxruntime.preload_dlls()
    options = {name: said for name, value in CUDA_OPTIONS.items() if (said := value(execution)) is not None}
    return [(CUDA, {"device_id": ordinal(device)} | options), CPU]


def ordinal(device: str) -> str:
    """Which GPU: "1" of cuda:1, the first where none is named."""
    return device.partition(":")[2] or "0"


def driver() -> bool:
    """Whether this machine has an NVIDIA driver; without one, asking for CUDA only fills the log."""
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    return CUDA in onnxruntime.get_available_providers()


def session_options(execution: Execution, asked: Sequence[Any]) -> onnxruntime.SessionOptions:
    """Options of a session by how it computes, and by the providers it asks for."""
    options = onnxruntime.SessionOptions()
    # Reductions, TopK and the like; on the CPU nothing else is the same to the last bit, and it changes nothing.
    options.use_deterministic_compute = execution.deterministic
    if asked != [CPU]:
        options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    return options


def elsewhere(session: onnxruntime.InferenceSession, provider: str) -> Mapping[str, int]:
    """How many nodes of each operator run on another provider, for want of a kernel."""
    assigned: Sequence[Any] = session.get_provider_graph_assignment_info()
    others = (part for part in assigned if part.ep_name != provider)
    return Counter(node.op_type for part in others for node in part.get_nodes())
